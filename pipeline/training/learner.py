"""A training step: the method, its optimiser, and their configs."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from echopair.augment.policy import AugmentConfig
from echopair.lazy import torch
from echopair.models.encoders import AnyEncoderConfig, EncoderConfig, build_encoder
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.methods import Batch, LearningData, Method, ObjectiveConfig, StepOutput
from echopair.models.precision import Device, Precision, autocast
from echopair.models.processes import process_count
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.schedule import ScheduledChange, check_schedule, scheduled
from echopair.pipeline.training.seeding import Stream, torch_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from echopair.models.encoders.base import Encoder


class PretrainConfig(BaseModel, frozen=True, extra="forbid"):
    """How long and how fast the encoder learns. The budget is one of steps, epochs and minutes."""

    BUDGETS: ClassVar = ("steps", "epochs", "minutes")

    corpora: tuple[str, ...] = Field(
        (),
        description="corpora to learn from; empty: all. Only objectives and positives that need labels read them",
    )
    batch_pairs: int = Field(
        256, ge=2, description="pairs of views per step, N; as many as there are segments, if fewer"
    )
    processes: int = Field(
        1,
        ge=1,
        le=4096,
        description="processes that train together, each on its share of a step's pairs; more than one run on Ray, on "
        "this machine or on that of `ray.address`, each with a GPU or with CPU cores of its own",
    )
    synchronise_batch_norm: bool = Field(
        True,
        description="of several processes: batch normalisation takes its statistics of the whole batch, so that their "
        "number changes no result; false: of each share, which saves exchanges",
    )
    views_at_once: int | None = Field(
        None,
        ge=2,
        description="views that the encoder takes at once, by default all of a step; fewer need less memory and a "
        "third more time, and batch normalisation takes the statistics of each chunk",
    )
    steps: int | None = Field(None, ge=1, description="budget in optimiser steps")
    epochs: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="budget in passes over all segments of the clips"
    )
    minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="budget in minutes on this machine, turned into steps once",
    )
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="what changes the weights")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="after warm-up; sgd needs a larger one")
    weight_decay: float = Field(0.01, ge=0, le=1, description="on weights of convolutions and products")
    warm_up_share: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the rate rises linearly"
    )
    rate_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        description="shares of the steps after which the rate falls to a tenth; without any it falls as half a cosine",
    )
    log_every_steps: int = Field(10, ge=1, description="steps between two rows of metrics")
    checkpoint_every_seconds: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="what a killed run loses at most"
    )
    device: Device = Field("auto", description="auto: the GPU where there is one")
    precision: Precision = Field(
        "auto", description="auto: bfloat16 on a GPU that multiplies in it or a CPU with AMX"
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="processes that read crops and augment waveforms; by default 4 on CUDA, none on a CPU or "
        "half its cores where waveforms are augmented",
    )
    schedule: tuple[ScheduledChange, ...] = Field(
        (),
        description="values that change in the course of the training, by step; what population-based training finds",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [name for name in self.BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one budget, steps, epochs or minutes; {' and '.join(given) or 'none'} is given"
            )
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared(self) -> Self:
        least = self.processes * math.ceil(self.batch_pairs / self.processes)
        if self.batch_pairs != least:
            raise ValueError(
                f"pretrain.batch_pairs={self.batch_pairs} does not divide by pretrain.processes={self.processes}, and "
                f"each process takes as many pairs; set pretrain.batch_pairs={least}"
            )
        if self.processes > 1 and self.views_at_once is not None:
            raise ValueError(
                f"pretrain.views_at_once={self.views_at_once} is for a single process, and "
                f"pretrain.processes={self.processes}; leave it out, since each process encodes its share alone"
            )
        return self

    @model_validator(mode="after")
    def _schedule_rises(self) -> Self:
        for before, after in pairwise(change.step for change in self.schedule):
            if after <= before:
                raise ValueError(
                    f"pretrain.schedule: step {after} follows step {before}; list the changes by rising step, "
                    "one for each step"
                )
        return self


class LearningConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides what the encoder becomes; the stage's key is made of it."""

    seed: int = Field(ge=0)
    log_mel: LogMelConfig
    crops: CropsConfig
    augment: AugmentConfig
    encoder: EncoderConfig
    projection: ProjectionConfig
    objective: ObjectiveConfig
    pretrain: PretrainConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.objective.check_batch(self.pretrain.batch_pairs, self.crops.views, self.crops.positives.name)
        check_schedule(self, self.pretrain.schedule)
        return self

    @property
    def learns_labels(self) -> bool:
        """Whether labels of the pretraining clips decide what the encoder becomes."""
        return self.crops.positives.NEEDS_LABELS or self.objective.LEARNS_LABELS

    def config_at(self, step: int) -> Self:
        """The config of a step, counted from 0: with the schedule's changes up to it."""
        return scheduled(self, self.pretrain.schedule, step) if self.pretrain.schedule else self

    def key_inputs(self) -> dict[str, object]:
        """The config without what changes no result: where it runs and how often it saves."""
        irrelevant = {"corpora", "device", "workers", "checkpoint_every_seconds", "log_every_steps"}
        if self.pretrain.processes == 1 or self.pretrain.synchronise_batch_norm:
            irrelevant |= {"processes", "synchronise_batch_norm"}
        if not self.pretrain.schedule:
            irrelevant.add("schedule")
        if self.pretrain.views_at_once is None:
            irrelevant.add("views_at_once")
        if self.pretrain.optimiser != "sgd":
            irrelevant |= {"optimiser", "momentum"}
        if not self.pretrain.rate_drops:
            irrelevant.add("rate_drops")
        crops = {"log_mel_of"} if self.crops.log_mel_of == "crop" else set()
        inputs = self.model_dump(mode="json", exclude={"pretrain": irrelevant, "crops": crops})
        return inputs | {"log_mel": self.log_mel.key_inputs()}


class Learner:
    """A method and the optimiser of its trainable parameters: what a training step changes.

    Args:
        config: of the training; equal ones give equal initial weights.
        device: to train on.
        data: what the method will learn from.

    Raises:
        UserError: see `check_data`.
    """

    def __init__(self, config: LearningConfig, device: torch.device, data: LearningData) -> None:
        encoder = initial_encoder(config.encoder, config.seed)
        check_data(config, encoder, data)
        encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(config.seed, 1, Stream.INITIAL_WEIGHTS))
            self.method: Method = config.objective.build(encoder, config.projection, data)
        self.method.modules.to(device)
        self._training_step: Callable[[Batch], StepOutput] = self.method.training_step
        if process_count() > 1:
            from echopair.models.collectives import data_parallel, synchronise_batch_norm

            if config.pretrain.synchronise_batch_norm:
                synchronise_batch_norm(self.method)
            self._training_step = data_parallel(self.method)
        trained = [p for p in self.method.modules.parameters() if p.requires_grad]
        groups = [  # decay acts on matrices and kernels, not on norms and biases
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.pretrain.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        rate = config.pretrain.learning_rate
        self.optimiser: torch.optim.Optimizer
        if config.pretrain.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(groups, rate, config.pretrain.momentum, fused=True)
        else:
            self.optimiser = torch.optim.AdamW(groups, lr=rate, fused=True)

    def step(self, batch: Batch, config: LearningConfig, step: int, steps: int) -> StepOutput:
        """One step of the training.

        Args:
            batch: on the learner's device.
            config: as it is at this step; see `LearningConfig.config_at`.
            step: from 0 to steps - 1.
            steps: of the whole training.

        Returns:
            The loss, without its graph, and the metrics.
        """
        settings = config.pretrain
        self.method.config = config.objective.at(step, steps)
        with autocast(settings.precision, batch.clips.device):
            loss, metrics = self._training_step(batch)
        decayed, others = self.optimiser.param_groups
        decayed["lr"] = others["lr"] = learning_rate(settings, step, steps)
        decayed["weight_decay"] = settings.weight_decay
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.method.after_step(step, steps)
        return StepOutput(loss.detach(), metrics)


def check_data(config: LearningConfig, encoder: Encoder, data: LearningData) -> None:
    """Refuse an encoder or data that the method cannot learn with.

    Raises:
        UserError: names the key, its value and the remedy.
    """
    try:
        config.objective.check_data(encoder, data)
    except ValueError as error:
        raise UserError(str(error)) from error


def initial_encoder(config: AnyEncoderConfig, seed: int) -> Encoder:
    """The encoder before any training; the same weights for the same config and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, 0, Stream.INITIAL_WEIGHTS))
        return build_encoder(config)


def learning_rate(config: PretrainConfig, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, ICLR 2017), or drops to a tenth.

    Args:
        config: peak rate and share of warm-up.
        step: from 0 to steps - 1.
        steps: of the whole training.
    """
    warm_up_steps = round(config.warm_up_share * steps)
    if step < warm_up_steps:
        return config.learning_rate * (step + 1) / warm_up_steps
    if config.rate_drops:
        return config.learning_rate * 0.1 ** sum(step >= share * steps for share in config.rate_drops)
    progress = (step - warm_up_steps) / max(1, steps - warm_up_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
