"""Training of a whole encoder on the labels of clips, from its weights; stopped by the score of other clips."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from echopair.models.audio_encoder import crop_starts
from echopair.models.encoders import SampleCnnConfig
from echopair.models.precision import autocast
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.training.learner import PretrainConfig, learning_rate
from echopair.pipeline.training.seeding import Stream, numpy_generator, torch_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.store import ClipStore

CROPS_AT_ONCE = 128  # of a forward pass without gradients
WARM_UP_SHARE = 0.1


class Training(NamedTuple):
    """How an encoder is trained on; see `FineTuneConfig`."""

    epochs: int
    patience: int
    batch_clips: int
    learning_rate: float
    layer_decay: float
    mixup: float
    seed: int


class Epoch(NamedTuple):
    """What a row of the learning curve holds; the score is None without clips to stop by."""

    loss: float
    score: float | None


class FineTuned(NamedTuple):
    """Scores (tested clips, classes), the learning curve, and the epoch, from 1, whose weights were tested."""

    scores: NDArray[np.float64]
    curve: list[Epoch]
    epoch: int


def fine_tune(
    encoder: AudioEncoder,
    store: ClipStore,
    targets: NDArray[np.int8],
    learn: NDArray[np.int64],
    choose: NDArray[np.int64],
    test: NDArray[np.int64],
    settings: Training,
    multilabel: bool,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
) -> FineTuned:
    """Train a copy of an encoder with a linear layer on it, and score test clips once.

    Each epoch takes a random crop of each clip. The weights of the epoch with the best score on `choose` are tested.

    Args:
        encoder: stays as it is.
        store: clips at its rate.
        targets: (N, classes) of 0 and 1.
        learn: indices of the clips to learn from.
        choose: of those to stop by; without any, the weights of the last epoch are tested.
        test: of those that are scored at the end.
        settings: of the training.
        multilabel: whether a clip may have several labels.
        on_epoch: called after each epoch.
    """
    model = _Classifier(encoder, targets.shape[1], settings.seed)
    optimiser = torch.optim.AdamW(rate_groups(model, settings.layer_decay), weight_decay=0.01)
    plan = PretrainConfig(
        steps=1, learning_rate=settings.learning_rate, warm_up_share=WARM_UP_SHARE
    )  # the shape of its rate
    batches = -(-len(learn) // settings.batch_clips)
    curve: list[Epoch] = []
    best, best_epoch = model.state(), 0
    for epoch in range(settings.epochs):
        model.train()
        losses = []
        generator = numpy_generator(settings.seed, epoch, Stream.FINE_TUNING)
        for number, clips in enumerate(np.array_split(generator.permutation(learn), batches)):
            step = epoch * batches + number
            for group in optimiser.param_groups:
                group["lr"] = group["scale"] * learning_rate(plan, step, settings.epochs * batches)
            inputs = model.inputs(_random_crops(store, clips, encoder.config.crop_samples, generator))
            wanted = torch.from_numpy(targets[clips]).float().to(inputs.device)
            if settings.mixup > 0:
                inputs, wanted = mixed(inputs, wanted, settings.mixup, generator)
            loss = _loss(model(inputs), wanted, multilabel)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
        score = (
            score_of(model.scores(store, choose, multilabel), targets[choose], multilabel)
            if len(choose)
            else None
        )
        curve.append(Epoch(float(np.mean(losses)), score))
        on_epoch(curve[-1])
        if score is None or best_epoch == 0 or score > (curve[best_epoch - 1].score or 0.0):
            best, best_epoch = model.state(), epoch + 1
        elif epoch + 1 - best_epoch >= settings.patience:
            break
    model.load_state_dict(best)
    return FineTuned(model.scores(store, test, multilabel), curve, best_epoch)


class _Classifier(nn.Module):
    """A copy of an encoder, and a linear layer on the embedding of a crop."""

    def __init__(self, encoder: AudioEncoder, classes: int, seed: int) -> None:
        super().__init__()
        self._of = [encoder]  # in a list: its parameters are not ours
        self.encoder = copy.deepcopy(encoder.encoder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, 0, Stream.FINE_TUNING))
            self.head = nn.Linear(encoder.crop_embedding_dim, classes).to(encoder.device)

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: value.clone() for name, value in self.state_dict().items()}

    def inputs(self, waveforms: NDArray[np.float32]) -> Tensor:
        """What the encoder takes, of crops (B, L)."""
        encoder = self._of[0]
        crops = torch.from_numpy(waveforms).to(encoder.device)
        if isinstance(encoder.config.encoder, SampleCnnConfig):
            return crops.unsqueeze(1)[:, None]
        return encoder.config.statistics.normalise(encoder.log_mel(crops)).unsqueeze(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, classes)."""
        with autocast(self._of[0].precision, inputs.device):
            embeddings = self.encoder(inputs)
        logits: Tensor = self.head(embeddings.float())
        return logits

    @torch.no_grad()
    def scores(self, store: ClipStore, clips: NDArray[np.int64], multilabel: bool) -> NDArray[np.float64]:
        """(clips, classes): the mean of the probabilities over the fixed crops of each clip."""
        self.eval()
        config = self._of[0].config
        places = [
            (row, int(clip), start)
            for row, clip in enumerate(clips)
            for start in crop_starts(
                int(store.samples[clip]), config.crop_samples, config.crop_hop_samples
            ).tolist()
        ]
        rows = torch.tensor([row for row, _, _ in places])
        totals = torch.zeros(len(clips), self.head.out_features, dtype=torch.float64)
        for first in range(0, len(places), CROPS_AT_ONCE):
            _, numbers, starts = zip(*places[first : first + CROPS_AT_ONCE], strict=True)
            logits = self(self.inputs(store.read_crops(numbers, starts, config.crop_samples)))
            probabilities = logits.sigmoid() if multilabel else logits.softmax(1)
            totals.index_add_(0, rows[first : first + CROPS_AT_ONCE], probabilities.double().cpu())
        means: NDArray[np.float64] = (totals / torch.bincount(rows, minlength=len(clips))[:, None]).numpy()
        return means


def rate_groups(model: nn.Module, layer_decay: float) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser, each with the `scale` of its rate.

    Args:
        model: with `encoder` and `head`.
        layer_decay: factor from each layer to the one before it; the rate of the head has scale 1.

    Source: Clark et al., ELECTRA, ICLR 2020, appendix A; Bao et al., BEiT, ICLR 2022.
    """
    layers = layers_of(model.encoder)  # type: ignore[arg-type]
    depth = {id(p): number for number, layer in enumerate(layers) for p in layer.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        below = len(layers) - depth.get(id(parameter), len(layers))
        groups.setdefault(layer_decay**below, []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder from its input to its output: blocks one by one, other modules as they are."""
    layers: list[nn.Module] = []
    for child in encoder.children():
        blocks = list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        layers += blocks if blocks and all(list(one.children()) for one in blocks) else [child]
    return [one for one in layers if any(True for _ in one.parameters())]


def mixed(
    inputs: Tensor, targets: Tensor, alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Each example mixed with another of its batch, targets alike, by shares from Beta(alpha, alpha).

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.
    """
    share = torch.from_numpy(generator.beta(alpha, alpha, len(inputs)).astype(np.float32)).to(inputs.device)
    other = torch.from_numpy(generator.permutation(len(inputs))).to(inputs.device)
    weight = share.view(-1, *[1] * (inputs.ndim - 1))
    return weight * inputs + (1 - weight) * inputs[other], share[:, None] * targets + (1 - share)[
        :, None
    ] * targets[other]


def _loss(logits: Tensor, targets: Tensor, multilabel: bool) -> Tensor:
    if multilabel:
        return nn.functional.binary_cross_entropy_with_logits(logits, targets)
    return nn.functional.cross_entropy(logits, targets)


def _random_crops(
    store: ClipStore, clips: Sequence[int] | NDArray[np.int64], samples: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    last = np.maximum(store.samples[clips] - samples, 0)
    return store.read_crops([int(one) for one in clips], generator.integers(0, last + 1).tolist(), samples)
