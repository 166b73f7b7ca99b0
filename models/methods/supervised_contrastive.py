"""SupCon: clips that share a label are positives of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.losses.nt_xent import chance_level
from echopair.models.losses.supervised_contrastive import supervised_contrastive
from echopair.models.methods.negatives import ContrastConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class SupervisedContrastiveConfig(ContrastConfig):
    """Clips that share a label are positives of each other, as are the views of a clip; it learns from labels.

    Source: Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equations 2 (sum outside of the logarithm) and
    3 (inside). Loss at chance: ln(V N - 1).
    """

    LEARNS_LABELS: ClassVar = True
    name: Literal["supervised_contrastive"] = "supervised_contrastive"
    temperature: float = Field(
        0.1,
        gt=0,
        le=10,
        description="divides the cosine similarities (0.1 in the paper); where it changes, the first",
    )
    sum_over_positives: Literal["outside", "inside"] = Field(
        "outside", description="of the logarithm; the paper found outside to be better"
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        assert batch.labels is not None
        inside = self.sum_over_positives == "inside"
        return supervised_contrastive(
            projections, batch.labels, self.temperature, inside, self.recordings(batch)
        )

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return chance_level(pairs, views)
