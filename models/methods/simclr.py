"""SimCLR: an encoder and a projection head, trained by NT-Xent."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.methods.projection_loss import ProjectionLossConfig
from echopair.models.objectives.nt_xent import chance_level, nt_xent

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class SimCLRConfig(ProjectionLossConfig):
    """NT-Xent: the views of a clip attract each other, and repel those of the other clips of the batch.

    The default temperature, 0.2, is that of the configuration that Fonseca et al. 2021 published.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, equation 1.
    """

    CHANGEABLE: ClassVar = ("temperature",)
    DIVERGED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.temperature or set pretrain.precision=float32"
    )
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate or objective.temperature, or weaken augment.strength"
    )
    name: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.2, gt=0, le=10, description="divides the cosine similarities")

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:  # noqa: ARG002
        return nt_xent(projections, self.temperature)

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return chance_level(pairs, views)
