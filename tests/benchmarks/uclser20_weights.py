"""The ResNet of uclser20, the code of Fonseca et al. 2021, beside ours with the same weights.

    git clone https://github.com/edufonseca/uclser20
    python -m tests.benchmarks.uclser20_weights uclser20 [--weights uclser20/pth/ResNet_best.pth]

Their weights go into our encoder by the map of keys below, and both take the same log-mels. In their images time is
the first axis and in ours the second, so that kernels are transposed. Their released ResNet pools by the mean alone,
which is the first half of our embedding. Without a file of weights theirs are drawn at random, statistics of
normalisation too.
"""

import argparse
import runpy
from pathlib import Path

import torch
from torch import Tensor

from echopair.models.encoders import ResNetConfig, build_encoder

TOLERANCE = 1e-5
KEYS = {"bn1": "norm1", "bn2": "norm2", "downsample.0": "shortcut.1", "downsample.1": "shortcut.2"}


def our_key(key: str) -> str:
    """The name of a weight of theirs in our encoder."""
    first, _, rest = key.partition(".")
    if not first.startswith("layer"):
        return f"stem.{ {'conv1': 0, 'bn1': 1}[first] }.{rest}"
    block, _, rest = rest.partition(".")
    for theirs, ours in KEYS.items():
        rest = rest.replace(theirs, ours, 1) if rest.startswith(theirs) else rest
    return f"stages.{2 * (int(first.removeprefix('layer')) - 1) + int(block)}.{rest}"


def our_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their weights, but for those of the classifier, as a state dict of ours."""
    return {
        our_key(key): value.transpose(2, 3) if value.ndim == 4 else value
        for key, value in weights.items()
        if not key.startswith("fc")
    }


def main() -> None:
    """Print the largest relative difference of the embeddings; fail above 1e-5."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", type=Path)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    code = runpy.run_path(str(given.code / "models" / "resnetAudio.py"))
    torch.manual_seed(0)
    theirs = code["resnet18"]({"learn": {"method": "Contrastive"}}, 20).eval()
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    if given.weights is not None:
        loaded = torch.load(given.weights, map_location="cpu", weights_only=True)
        theirs.load_state_dict(loaded.get("state_dict", loaded))
    ours = build_encoder(ResNetConfig(width=64, stem="coarse")).eval()
    ours.load_state_dict(our_weights(theirs.state_dict()), strict=True)
    log_mels = torch.randn(8, 1, 96, 101)
    with torch.no_grad():
        _, expected = theirs(log_mels.transpose(2, 3))
        got = ours(log_mels)[:, :512]
    difference = float((got - expected).abs().max() / expected.abs().max())
    print(f"largest difference of 8 embeddings, relative to the largest value: {difference:.1e}")
    if difference > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
