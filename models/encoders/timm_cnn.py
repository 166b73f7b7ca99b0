"""Any convolutional network of the timm library, on one channel and without its classifier."""

import difflib

import torch
from torch import Tensor, nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.configs import TimmConfig

PROBED_FRAMES = (96, 97, 200)


class TimmCnn(Encoder):
    """An architecture of timm with random weights; nothing is downloaded.

    Building it runs a short log-mel of each of several lengths through it, so that an architecture of fixed
    size fails here and not in training.

    Args:
        config: name of the architecture.

    Raises:
        ValueError: an unknown name, or an architecture that does not take log-mels of any length.

    Source: Wightman, PyTorch Image Models, github.com/huggingface/pytorch-image-models.
    """

    def __init__(self, config: TimmConfig) -> None:
        super().__init__(config)
        self.network = _create_network(config.model)
        self.embedding_dim = _probe_embedding_dim(config.model, self.network)
        self.feature_channels = _probe_feature_channels(self.network)

    def encode(self, log_mel: Tensor) -> Tensor:
        embedding: Tensor = self.network(log_mel)  # (B, D)
        return embedding

    def convolve(self, log_mel: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(log_mel)  # type: ignore[operator]
        return features  # (B, C, F', T')

    def pool(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.network.forward_head(features)  # type: ignore[operator]
        return embedding  # (B, D)


def _create_network(name: str) -> nn.Module:
    import timm

    known_names = timm.list_models()
    # Checked here and not left to timm, which would look up names such as hf-hub:... on the network.
    if name not in known_names:
        nearest = difflib.get_close_matches(name, known_names, n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise ValueError(f"encoder.model: timm has no architecture '{name}'{hint}")
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, in_chans=1, num_classes=0)
    except Exception as error:
        raise ValueError(_refusal(name, error)) from error
    return network


def _probe_embedding_dim(name: str, network: nn.Module) -> int:
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            shapes = {tuple(network(torch.zeros(1, 1, 64, frames)).shape) for frames in PROBED_FRAMES}
    except Exception as error:
        raise ValueError(_refusal(name, error)) from error
    network.train(was_training)
    shape = shapes.pop()
    if shapes or len(shape) != 2:
        raise ValueError(_refusal(name, f"its output has shape {shape} at one length"))
    return int(shape[1])


def _probe_feature_channels(network: nn.Module) -> int | None:
    """C of a network that computes a map (B, C, F', T') first and its output from that; else None."""
    if not (hasattr(network, "forward_features") and hasattr(network, "forward_head")):
        return None
    was_training = network.training
    network.eval()
    log_mel = torch.linspace(-1, 1, 64 * 96).reshape(1, 1, 64, 96)
    with torch.no_grad():
        features = network.forward_features(log_mel)  # type: ignore[operator]
        is_map = isinstance(features, Tensor) and features.ndim == 4
        first = is_map and torch.equal(network.forward_head(features), network(log_mel))  # type: ignore[operator]
    network.train(was_training)
    # Maps of the other layout, (B, F', T', C), have the channels last.
    return int(features.shape[1]) if first and features.shape[1] == network.num_features else None


def _refusal(name: str, reason: object) -> str:
    first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
    return (
        f"encoder.model: timm's '{name}' does not take 64 mel bands by any number of frames ({first_line}); "
        "choose a CNN such as resnet18"
    )
