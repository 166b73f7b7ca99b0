"""Methods that count negatives otherwise than NT-Xent: decoupled, debiased, and weighted by hardness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.losses.reweighted_negatives import debiased, decoupled
from echopair.models.methods.negatives import ContrastConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class DecoupledConfig(ContrastConfig):
    """NT-Xent without the positive in the denominator: less dependent on large batches.

    Source: Yeh et al., Decoupled Contrastive Learning, ECCV 2022, equation 6. Loss at chance: ln(V (N - 1)).
    """

    name: Literal["decoupled"] = "decoupled"

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return decoupled(projections, self.temperature, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return math.log(views * (pairs - 1))


class DebiasedConfig(ContrastConfig):
    """The share of the negatives that is probably of the clip's own class is subtracted.

    Source: Chuang et al., Debiased Contrastive Learning, NeurIPS 2020, equation 8. Loss at chance: ln(1 + V (N - 1)).
    """

    CHANGEABLE: ClassVar[tuple[str, ...]] = ("temperature", "positive_prior")
    name: Literal["debiased"] = "debiased"
    positive_prior: float = Field(
        0.1, ge=0, lt=1, description="probability that two clips are of one class (0.1 in the paper)"
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        recordings = self.recordings(batch)
        return debiased(projections, self.temperature, self.positive_prior, recordings=recordings)

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return math.log1p(views * (pairs - 1))


class HardNegativesConfig(DebiasedConfig):
    """Debiased, and near negatives have more weight.

    Source: Robinson et al., Contrastive Learning with Hard Negative Samples, ICLR 2021, equation 4. Loss at chance:
    ln(1 + V (N - 1)).
    """

    CHANGEABLE: ClassVar = ("temperature", "positive_prior", "hardness")
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, objective.hardness or objective.temperature, "
        "or weaken augment.strength"
    )
    name: Literal["hard_negatives"] = "hard_negatives"  # type: ignore[assignment]
    hardness: float = Field(
        1.0,
        ge=0,
        le=10,
        description="beta, concentration on near negatives; 0 is `debiased` (1 in the paper)",
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        recordings = self.recordings(batch)
        return debiased(projections, self.temperature, self.positive_prior, self.hardness, recordings)
