"""Memory bank: the projections of all segments, which each view is compared with (instance discrimination)."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.lazy import torch
from echopair.models.losses.instance_discrimination import (
    bank_similarities,
    instance_nce,
    instance_softmax,
)
from echopair.models.losses.normalise import l2_normalise
from echopair.models.methods.encoding import encode
from echopair.models.methods.method import Batch, LearningData, Method, StepOutput
from echopair.models.methods.temperature import TemperatureConfig, current_temperature, with_temperature
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class MemoryBankConfig(TemperatureConfig):
    """Instance discrimination: each view finds its segment's entry among those of all segments of the corpus.

    An entry is the mean of the projections that its segment had so far, newer ones counting more. That replaces the
    paper's proximal term (equation 10), as in the authors' code, from which the defaults are.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, equations 2
    and 3 (softmax) or 6 to 8 (`negatives`).
    """

    CHANGEABLE: ClassVar = ("temperature", "bank_momentum", "negatives")
    name: Literal["memory_bank"] = "memory_bank"
    temperature: float = Field(
        0.07, gt=0, le=10, description="divides the cosine similarities; where it changes, the first one"
    )
    bank_momentum: float = Field(
        0.5, ge=0, lt=1, description="share of itself that an entry keeps when its segment is in a batch"
    )
    negatives: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="entries drawn per step for noise-contrastive estimation (4096 in the paper); none: the "
        "exact softmax over all, which is affordable up to about 100,000 segments",
    )

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> MemoryBank:
        return MemoryBank(self, encoder, projection, data)


class MemoryBank(Method):
    """An encoder and a projection head for all views, and the bank: one entry for each segment of the corpus."""

    config: MemoryBankConfig

    def __init__(
        self, config: MemoryBankConfig, encoder: Encoder, projection: ProjectionConfig, data: LearningData
    ) -> None:
        head = projection_head(projection, encoder.embedding_dim)
        super().__init__(
            config,
            encoder=encoder,
            projection=head,
            bank=torch.nn.Module(),
            **config.temperature_modules(),
        )
        entries = l2_normalise(torch.randn(data.segments, projection.projection_dim))  # (S, P)
        self.modules["bank"].register_buffer("entries", entries)

    @property
    def entries(self) -> torch.Tensor:
        """(S, P), of norm 1."""
        return self.modules["bank"].get_buffer("entries")

    def training_step(self, batch: Batch) -> StepOutput:
        assert batch.segments is not None
        embeddings = encode(self.encoder, batch.views, batch.views_at_once)  # (V, N, D)
        flat = self.modules["projection"](embeddings.flatten(0, 1))  # (V N, P)
        temperature = current_temperature(self)
        own = batch.segments.repeat(len(batch.views))  # (V N,)
        if self.config.negatives is None:
            drawn = torch.arange(len(self.entries), device=own.device)
            similarities = bank_similarities(flat, self.entries)  # (V N, S)
            of_own = similarities.gather(1, own.unsqueeze(1)).squeeze(1)  # (V N,)
            loss = instance_softmax(similarities, own, temperature)
            chance_level = math.log(len(drawn))
        else:
            shape = (self.config.negatives,)
            drawn = torch.randint(len(self.entries), shape, generator=batch.generator).to(own.device)
            similarities = bank_similarities(flat, self.entries[drawn])  # (V N, M)
            of_own = (l2_normalise(flat) * self.entries[own]).sum(1)
            loss = instance_nce(of_own, similarities, temperature)
            chance_level = math.log1p(len(drawn)) + len(drawn) * math.log1p(1 / len(drawn))
        projections = flat.detach().unflatten(0, embeddings.shape[:2])  # (V, N, P)
        self._new = batch.segments, l2_normalise(projections).mean(0)
        found = partial(_found, of_own.detach(), similarities.detach(), own, drawn)
        health = partial(representation_health, embeddings.detach(), projections)
        output = StepOutput(loss, lambda: {"loss_chance_level": chance_level, **found(), **health()})
        return with_temperature(output, self.config, temperature)

    def after_step(self, step: int, steps: int) -> None:
        """Move the entries of the step's segments towards the mean of their views."""
        segments, means = self._new
        self.entries[segments] = l2_normalise(
            torch.lerp(means, self.entries[segments], self.config.bank_momentum)
        )


def _found(
    of_own: torch.Tensor, similarities: torch.Tensor, own: torch.Tensor, drawn: torch.Tensor
) -> dict[str, float]:
    """Whether the own entry is more similar, by `of_own` (B,), than the drawn ones (B, M) of other segments."""
    differ = drawn != own.unsqueeze(1)  # (B, M)
    first = ~((similarities >= of_own.unsqueeze(1)) & differ).any(1)
    return {
        "bank_top1": first.float().mean().item(),
        "bank_top1_chance_level": (1 / (1 + differ.sum(1))).mean().item(),
    }
