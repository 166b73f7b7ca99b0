"""What a training step trains: encoder, projection head and optimiser, and all that decides them."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from echopair.augment.policy import AugmentConfig
from echopair.models.encoders import EncoderConfig, build_encoder
from echopair.models.log_mel import LogMelConfig
from echopair.models.objectives import ObjectiveConfig
from echopair.models.precision import Device, Precision
from echopair.models.projection import ProjectionConfig, ProjectionHead
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.schedule import ScheduledChange, check_schedule, scheduled
from echopair.pipeline.training.seeding import Stream, torch_seed


class PretrainConfig(BaseModel, frozen=True, extra="forbid"):
    """How long and how fast the encoder learns. The budget is one of steps, epochs and minutes."""

    BUDGETS: ClassVar = ("steps", "epochs", "minutes")

    corpora: tuple[str, ...] = Field(
        (), description="corpora to learn from, labels unread but for same_label; () is all"
    )
    batch_pairs: int = Field(
        256, ge=2, description="pairs of views a step, N clips; the other clips are the negatives"
    )
    steps: int | None = Field(None, ge=1, description="budget in optimiser steps")
    epochs: float | None = Field(None, gt=0, description="budget in passes over all segments of the clips")
    minutes: float | None = Field(
        None, gt=0, description="budget in minutes on this machine, turned into steps once"
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="AdamW's, after warm-up")
    weight_decay: float = Field(
        0.01, ge=0, le=1, description="AdamW's, on weights of convolutions and products"
    )
    warm_up_share: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the rate rises linearly"
    )
    log_every_steps: int = Field(10, ge=1, description="steps between two rows of metrics")
    checkpoint_every_seconds: float = Field(60.0, ge=0, description="what a killed run loses at most")
    device: Device = Field("auto", description="auto: the GPU where there is one")
    precision: Precision = Field("auto", description="auto: bfloat16 where the hardware multiplies in it")
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
    def _schedule_rises(self) -> Self:
        for before, after in pairwise(change.step for change in self.schedule):
            if after <= before:
                raise ValueError(
                    f"pretrain.schedule: step {after} follows step {before}; list the changes by rising step, "
                    "one for each step"
                )
        return self


class LearningConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides what the encoder becomes; its fingerprint is that of the stage."""

    seed: int
    log_mel: LogMelConfig
    crops: CropsConfig
    augment: AugmentConfig
    encoder: EncoderConfig
    projection: ProjectionConfig
    objective: ObjectiveConfig
    pretrain: PretrainConfig

    @model_validator(mode="after")
    def _schedule_is_valid(self) -> Self:
        check_schedule(self, self.pretrain.schedule)
        return self

    def config_at(self, step: int) -> Self:
        """What holds at a step, counted from 0: the schedule's changes up to it laid over the config."""
        return scheduled(self, self.pretrain.schedule, step) if self.pretrain.schedule else self

    def identity(self) -> dict[str, object]:
        """The config without what changes no result: where it runs and how often it saves."""
        irrelevant = {"corpora", "device", "workers", "checkpoint_every_seconds", "log_every_steps"}
        if not self.pretrain.schedule:
            irrelevant.add("schedule")
        return self.model_dump(mode="json", exclude={"pretrain": irrelevant})


@dataclass
class Learner:
    """The modules that a step trains."""

    encoder: nn.Module
    projection: nn.Module
    optimiser: torch.optim.Optimizer

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Views (V, N, 1, F, T) -> embeddings (V, N, D) and projections (V, N, P)."""
        shape = views.shape[:2]
        flat = views.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (V N, 1, F, T)
        embeddings = self.encoder(flat)  # (V N, D)
        projections = self.projection(embeddings)  # (V N, P)
        return embeddings.unflatten(0, shape), projections.unflatten(0, shape)

    def set_rates(self, learning_rate: float, weight_decay: float) -> None:
        """How far the next step goes: the rate of all weights, and the decay of those that decay."""
        decayed, others = self.optimiser.param_groups
        decayed["lr"] = others["lr"] = learning_rate
        decayed["weight_decay"] = weight_decay


def initial_encoder(config: EncoderConfig, seed: int) -> nn.Module:
    """The encoder before any training; the same weights for the same config and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, 0, Stream.INITIAL_WEIGHTS))
        return build_encoder(config)


def build_learner(config: LearningConfig, device: torch.device) -> Learner:
    """Encoder, projection head and AdamW; decay acts on matrices and kernels, not on norms and biases."""
    encoder = initial_encoder(config.encoder, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(config.seed, 1, Stream.INITIAL_WEIGHTS))
        projection = ProjectionHead(config.projection, int(encoder.embedding_dim))  # type: ignore[arg-type]
    encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    projection = projection.to(device)
    parameters = [*encoder.parameters(), *projection.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.pretrain.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return Learner(
        encoder, projection, torch.optim.AdamW(groups, lr=config.pretrain.learning_rate, fused=True)
    )


def learning_rate(config: PretrainConfig, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to nought (Loshchilov and Hutter, ICLR 2017).

    Args:
        config: peak rate and share of warm-up.
        step: from 0 to steps - 1.
        steps: of the whole training.
    """
    warm_up_steps = round(config.warm_up_share * steps)
    if step < warm_up_steps:
        return config.learning_rate * (step + 1) / warm_up_steps
    progress = (step - warm_up_steps) / max(1, steps - warm_up_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
