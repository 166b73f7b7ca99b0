"""Fine-tuning: an encoder and a linear head are trained on labels; the best epoch is chosen on held-out sources."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from echopair.augment.policy import AllConfig, AugmentConfig, build_policy
from echopair.models.audio_encoder import CROPS_PER_BATCH, AudioEncoder
from echopair.models.encoders import SampleCnnConfig
from echopair.models.encoders.layers import layers_of
from echopair.models.precision import autocast
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.training.crops import CropsConfig, PairCrops
from echopair.pipeline.training.learner import PretrainConfig, learning_rate
from echopair.pipeline.training.seeding import Stream, numpy_generator, torch_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.encoders.base import Encoder
    from echopair.pipeline.evaluate.suites.fine_tune import FineTuneConfig
    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.store import ClipStore
    from echopair.pipeline.training.crops import CropBatch

PLAIN = AugmentConfig(policy=AllConfig(augmentations=()))  # crops are not augmented


class FineTuned(NamedTuple):
    """A fold after fine-tuning.

    Args:
        scores: (test clips, classes) probabilities, by the weights of the chosen epoch.
        epoch: that was chosen, from 1.
        losses: mean training loss of each epoch.
        validation: score of the clips that the epoch is chosen on, after each epoch.
    """

    scores: NDArray[np.float64]
    epoch: int
    losses: list[float]
    validation: list[float]


class Classifier(nn.Module):
    """An encoder with a linear head; as the network of an `AudioEncoder` it gives probabilities for embeddings.

    Args:
        encoder: that is trained.
        classes: C.
        multilabel: whether each class is a question of its own.
    """

    def __init__(self, encoder: Encoder, classes: int, *, multilabel: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.embedding_dim, classes)
        self.readout_dim = classes
        self.multilabel = multilabel

    def logits(self, inputs: Tensor) -> Tensor:
        """(B, 1, F, T) -> (B, C) float32."""
        embeddings = self.encoder(inputs)
        with torch.autocast(
            inputs.device.type, enabled=False
        ):  # bfloat16 would make scores of many clips equal
            logits: Tensor = self.head(embeddings)
        return logits

    def readout(self, inputs: Tensor) -> Tensor:
        """(B, 1, F, T) -> (B, C) probabilities."""
        logits = self.logits(inputs)
        return logits.sigmoid() if self.multilabel else logits.softmax(1)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, binary of several labels; targets (B, C) from 0 to 1."""
        logits = self.logits(inputs)
        return (binary_cross_entropy_with_logits if self.multilabel else cross_entropy)(logits, targets)


class EarlyStopping:
    """The weights of the epoch with the best score, of equal ones the first.

    Args:
        network: that is trained.
        patience: epochs without a better score after which training is to end.
    """

    def __init__(self, network: nn.Module, patience: int) -> None:
        self._network = network
        self._patience = patience
        self.scores: list[float] = []
        self.epoch = 0

    def ends_after(self, score: float) -> bool:
        """Take in the score of an epoch; whether training is to end."""
        if not self.scores or score > max(self.scores):
            self.epoch = len(self.scores) + 1
            self._weights = copy.deepcopy(self._network.state_dict())
        self.scores.append(score)
        return len(self.scores) - self.epoch >= self._patience

    def restore(self) -> None:
        """Give the network the weights of `epoch`, which counts from 1."""
        self._network.load_state_dict(self._weights)


def fine_tune(
    encoder: AudioEncoder,
    store: ClipStore,
    task: Task,
    number: int,
    config: FineTuneConfig,
    advance: Callable[..., None],
) -> FineTuned:
    """Train a copy of an encoder on a fold of a task, and score the fold's test clips.

    Args:
        encoder: stays as it is.
        store: the clips of the task, at the encoder's rate.
        task: labels and folds.
        number: of the fold; its first validation pair says what to learn from, and what to choose the epoch on.
        config: of the training.
        advance: of a progress bar that counts epochs.

    Raises:
        UserError: the loss is not finite.
    """
    fold = task.folds[number]
    learn, choose = fold.validation[0]
    seed = torch_seed(task.seed, number, Stream.FINE_TUNING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for the head, and for encoders with dropout
        network = Classifier(
            cast("Encoder", copy.deepcopy(encoder.encoder)), len(task.classes), multilabel=task.multilabel
        )
        device: Any = encoder.device.type
        classifier = AudioEncoder(encoder.config, network, device=device, precision=encoder.precision)
        training = _Training(classifier, network, store.only(learn), task.targets[learn], seed, config)
        stopping = EarlyStopping(network, config.patience)
        losses = []
        for epoch in range(config.epochs):
            losses.append(training.epoch(epoch, advance))
            score = score_of(_predict(classifier, store, choose), task.targets[choose], task.multilabel)
            ends = stopping.ends_after(score)
            advance(0, note=f"loss {losses[-1]:.3g}, validation {score:.1%}")
            if ends:
                advance(config.epochs - epoch - 1)
                break
        stopping.restore()
        return FineTuned(_predict(classifier, store, fold.test), stopping.epoch, losses, stopping.scores)


def parameter_groups(network: Classifier, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimiser, with the share of the learning rate that each layer has as `rate_share`.

    The head has the whole rate, and each layer below has `layer_decay` times that of the next one.

    Source: Clark et al., ELECTRA, ICLR 2020, appendix B; Bao et al., BEiT, ICLR 2022.
    """
    layers = [*layers_of(network.encoder), list(network.head.parameters())]
    groups = []
    for depth, layer in enumerate(layers):
        share = layer_decay ** (len(layers) - 1 - depth)
        matrices = [one for one in layer if one.ndim > 1]
        others = [one for one in layer if one.ndim <= 1]  # norms and biases do not decay
        for parameters, decay in ((matrices, weight_decay), (others, 0.0)):
            if parameters:
                groups.append({"params": parameters, "weight_decay": decay, "rate_share": share})
    return groups


class _Training:
    """The steps of a training; epoch after epoch, each a function of the seed and its number."""

    def __init__(
        self,
        classifier: AudioEncoder,
        network: Classifier,
        store: ClipStore,
        targets: NDArray[np.int8],
        seed: int,
        config: FineTuneConfig,
    ) -> None:
        self._classifier = classifier
        self._network = network
        self._targets = torch.from_numpy(targets).float()
        self._seed = seed
        self._config = config
        crops = CropsConfig(crop_seconds=classifier.config.crop_seconds)
        policy = build_policy(PLAIN, store.sample_rate_hz)
        self._crops = PairCrops([store], crops, policy, config.batch_clips, seed)
        self._steps = config.epochs * self._crops.steps_per_epoch
        self._schedule = PretrainConfig(steps=self._steps, learning_rate=config.learning_rate)
        groups = parameter_groups(network, config.layer_decay, self._schedule.weight_decay)
        self._optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)

    def epoch(self, epoch: int, advance: Callable[..., None]) -> float:
        """Train for an epoch, counted from 0; returns the mean loss."""
        self._network.train()
        steps = self._crops.steps_per_epoch
        total = 0.0
        for step in range(epoch * steps, (epoch + 1) * steps):
            total += self._step(self._crops[step])
            advance(1 / steps)
        self._classifier.eval()
        if not math.isfinite(total):
            raise UserError(
                f"fine_tune.learning_rate={self._config.learning_rate:g}: the loss of epoch {epoch + 1} is not finite; "
                "lower it, or set embed.precision=float32"
            )
        return total / steps

    def _step(self, batch: CropBatch) -> float:
        audio, device = self._classifier, self._classifier.device
        assert batch.waveforms is not None
        waveforms = batch.waveforms.flatten(0, 1)  # (V N, L)
        targets = self._targets[batch.clips].repeat(len(batch.waveforms), 1)  # (V N, C)
        if self._config.mixup:
            generator = numpy_generator(self._seed, batch.step, Stream.METHOD)
            waveforms, targets = mixed(waveforms, targets, self._config.mixup, generator)
        waveforms = waveforms.to(device)
        if isinstance(audio.config.encoder, SampleCnnConfig):
            inputs = waveforms.unsqueeze(1)  # (V N, 1, L)
        else:
            inputs = audio.config.statistics.normalise(audio.log_mel(waveforms))  # (V N, F, T)
        with autocast(audio.precision, device):
            loss = self._network.loss(inputs.unsqueeze(1), targets.to(device))
        rate = learning_rate(self._schedule, batch.step, self._steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate_share"]
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()


def mixed(
    waveforms: Tensor, targets: Tensor, alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix another row into each, and its target into that, by a share from Beta(alpha, alpha).

    Args:
        waveforms: (B, L).
        targets: (B, C).
        alpha: above 0; 1 draws all shares alike.
        generator: of shares and partners.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 1 of section 2.
    """
    share = torch.from_numpy(generator.beta(alpha, alpha, (len(waveforms), 1))).float()
    partner = torch.from_numpy(generator.permutation(len(waveforms)))
    return tuple(share * one + (1 - share) * one[partner] for one in (waveforms, targets))  # type: ignore[return-value]


def _predict(classifier: AudioEncoder, store: ClipStore, clips: NDArray[np.int64]) -> NDArray[np.float64]:
    """(clips, C): mean of the probabilities of the fixed crops of each clip."""
    pooled = embed_clips(store, clips, classifier, CROPS_PER_BATCH)  # mean and maximum
    return pooled[:, : classifier.crop_embedding_dim].astype(np.float64)
