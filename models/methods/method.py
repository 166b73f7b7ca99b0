"""Method: what learns from views, as one object; the contract between it and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from pydantic import BaseModel

from echopair.lazy import torch
from echopair.models.representation_health import describe_collapse

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder
    from echopair.models.projection import ProjectionConfig


CHANCE_LEVEL = "_chance_level"  # ends the names of metrics that others are compared with


@dataclass(frozen=True)
class Batch:
    """What a method learns from in one step.

    Where several processes train together, each has its share of views and waveforms, n = N / P of the N sources, and
    all else of the whole batch; see `models.processes`.

    Args:
        views: V tensors (N, 1, F, T_v); row n of each is a view of source n, and lengths T_v may differ.
        clips: (N,) int64, the clip that each source is part of; a clip has the same number in every step.
        labels: (N, C) bool, which of the C labels each clip has; None unless the method learns from labels.
        generator: of the step, on the CPU; whatever a method draws at random in a step, it draws from this.
        recordings: (N,) int64, equal where clips are cut from one recording or are copies of one sound; None unless
            the method reads them.
        segments: (N,) int64, the number of each source among all; a clip of an hour has several. The training loop
            always gives it.
        augmentations: (V, N, A) bool, on the CPU: which of `LearningData.augmentations` each view got; None if a
            method is tried without them.
        starts: (V, N) int64, where each view begins in its clip, in samples; the training loop always gives it.
        waveforms: (V, N, L) float32, what each view is the log-mel of, with the augmentations of waveforms but without
            those of log-mels; None if crops are cut from log-mels.
        views_at_once: how many views the encoder takes in a forward pass at most; None for all.
    """

    views: Sequence[torch.Tensor]
    clips: torch.Tensor
    labels: torch.Tensor | None
    generator: torch.Generator
    recordings: torch.Tensor | None = None
    segments: torch.Tensor | None = None
    augmentations: torch.Tensor | None = None
    starts: torch.Tensor | None = None
    waveforms: torch.Tensor | None = None
    views_at_once: int | None = None


@dataclass(frozen=True)
class LearningData:
    """What is known, before the first step, of what a method will learn from.

    Args:
        segments: sources of pairs in all; `Batch.segments` counts them from 0.
        labels: names of the labels of all clips, in the order of `Batch.labels`.
        augmentations: names of the augmentations that some views get and others do not, in the order of
            `Batch.augmentations`.
        mel_bands: F of a view.
        frames: T of a view.
        waveforms: whether batches have them.
    """

    segments: int = 0
    labels: tuple[str, ...] = ()
    augmentations: tuple[str, ...] = ()
    mel_bands: int = 0
    frames: int = 0
    waveforms: bool = True


class StepOutput(NamedTuple):
    """What a method makes of a batch.

    Args:
        loss: scalar, to be minimised.
        metrics: computes what is worth logging; called only for the steps that are logged, in all processes of a
            training. A metric `x` that has
            a chance level, which an encoder that has learned nothing would give, has it as `x_chance_level`; that
            of the loss is `loss_chance_level`.
    """

    loss: torch.Tensor
    metrics: Callable[[], dict[str, float]]


class MethodConfig(BaseModel, ABC, frozen=True, extra="forbid"):
    """Config of a method, the slice `objective`; a subclass adds `name` and its keys."""

    CHANGEABLE: ClassVar[tuple[str, ...]] = ()
    """Keys that `pretrain.schedule` may change while the encoder learns."""
    LEARNS_LABELS: ClassVar[bool] = False
    """Whether batches have labels."""
    MAX_VIEWS: ClassVar[int | None] = None
    """Most views of a clip that the method takes, of any number if None; read by `check_batch`."""
    POSITIVES: ClassVar[tuple[str, ...]] = ()
    """Names of `crops.positives` that the method takes, of any if empty; read by `check_batch`."""
    DIVERGED_ADVICE: ClassVar[str] = "lower pretrain.learning_rate or set pretrain.precision=float32"
    """What to try when the loss is not finite any more."""
    COLLAPSED_ADVICE: ClassVar[str] = "lower pretrain.learning_rate or weaken augment.strength"
    """What to try when the representation has collapsed."""

    @property
    def reads_recordings(self) -> bool:
        """Whether batches say which clips are cut from one recording."""
        return False

    def at(self, step: int, steps: int) -> Self:
        """The config of a step, of methods with values that change along the training.

        Args:
            step: from 0 to steps - 1.
            steps: of the whole training.
        """
        return self

    def check_batch(self, pairs: int, views: int, positives: str) -> None:
        """Refuse batches that the method cannot learn from, before any work.

        Args:
            pairs: N, `pretrain.batch_pairs`.
            views: V, `crops.views`.
            positives: `crops.positives.name`.

        Raises:
            ValueError: names the key, its value and the remedy.
        """
        if self.MAX_VIEWS is not None and views > self.MAX_VIEWS:
            raise ValueError(
                f"crops.views={views} is more than objective.name={self.name} takes; "  # type: ignore[attr-defined]
                f"set crops.views={self.MAX_VIEWS}"
            )
        if self.POSITIVES and positives not in self.POSITIVES:
            raise ValueError(
                f"objective.name={self.name} does not take "  # type: ignore[attr-defined]
                f"crops.positives.name={positives}; set crops.positives.name={' or '.join(self.POSITIVES)}"
            )

    def check_data(self, encoder: Encoder, data: LearningData) -> None:
        """Refuse, before any long work, an encoder or data that the method cannot learn with.

        Raises:
            ValueError: names the key, its value and the remedy.
        """

    @abstractmethod
    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> Method:
        """The method before any training.

        Args:
            encoder: the encoder to train, with its initial weights.
            projection: shape of the projection head, for methods that have one.
            data: what it will learn from, for methods whose modules depend on that.

        Returns:
            The method; its other weights are drawn from torch's global generator and nothing else.
        """


class Method(ABC):
    """An encoder and all that trains it: heads, momentum copies, queues.

    The training loop gives the parameters of `modules` that require a gradient to the optimiser and saves the state
    dict of `modules` with each checkpoint. So whatever a step leaves for the next one is a parameter or a buffer of
    them, and a step draws random numbers from `Batch.generator` alone: a training that was killed then continues
    bit for bit.

    Args:
        config: of the method; where a schedule changes it, the loop sets it anew before the step.
        modules: by name; `encoder` is the one that the training is for.
    """

    HEADS_OF_SHARES: ClassVar[tuple[str, ...]] = ()
    """Modules that, as encoders, each of several processes applies to its share of a batch alone."""

    def __init__(self, config: MethodConfig, **modules: torch.nn.Module) -> None:
        self.config = config
        self.modules = torch.nn.ModuleDict(modules)

    @property
    def encoder(self) -> torch.nn.Module:
        """The encoder that is evaluated and saved."""
        return self.modules["encoder"]

    @abstractmethod
    def training_step(self, batch: Batch) -> StepOutput:
        """Loss and metrics of a batch, in train mode and under the run's autocast."""

    def after_step(self, step: int, steps: int) -> None:  # noqa: B027  (not every method has something to do)
        """Update what the optimiser does not, such as a momentum encoder; called after each step of the optimiser.

        Args:
            step: from 0 to steps - 1.
            steps: of the whole training.
        """

    def collapse(self, metrics: dict[str, float]) -> str | None:
        """Metrics that show a collapsed representation, in words; None if they show none.

        Args:
            metrics: as logged, see `StepOutput`; with those of `representation_health`, unless a subclass judges
                by others.
        """
        return describe_collapse(metrics)


def check_gives_features(name: str, encoder: Encoder) -> None:
    """Refuse an encoder without a feature map.

    Args:
        name: of the objective.
        encoder: to be trained.

    Raises:
        ValueError: names the keys and the remedy.
    """
    if encoder.feature_channels is None:
        raise ValueError(
            f"objective.name={name} learns from the encoder's feature map before pooling, and "
            f"encoder.name={encoder.config.name} gives none for this model; set encoder.name=resnet"
        )
