"""Methods without negatives that keep the dimensions of projections apart: Barlow Twins and VICReg."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.losses.decorrelation import barlow_twins, vicreg
from echopair.models.methods.projection_loss import ProjectionLossConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class BarlowTwinsConfig(ProjectionLossConfig):
    """The cross-correlation of the projections of two views over the batch is to be the identity.

    It gains from wide projections (`projection.projection_dim`, 8192 in the paper). Equal projections have the loss P.

    Source: Zbontar et al., Barlow Twins, ICML 2021, equations 1 and 2.
    """

    CHANGEABLE: ClassVar = ("redundancy_weight",)
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.redundancy_weight or weaken augment.strength"
    )
    name: Literal["barlow_twins"] = "barlow_twins"
    redundancy_weight: float = Field(
        5e-3,
        gt=0,
        le=10,
        description="lambda, weight of the correlations of different dimensions (paper: 0.005)",
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return barlow_twins(projections, self.redundancy_weight)


class VICRegConfig(ProjectionLossConfig):
    """Views of a clip are to be equal, each dimension to vary over the batch, and no two to vary together.

    It gains from wide projections (`projection.projection_dim`, 8192 in the paper). Loss at chance: none, since it
    depends on the norm of projections.

    Source: Bardes et al., VICReg, ICLR 2022, equations 1 to 6, with the weights of section 4.2.
    """

    CHANGEABLE: ClassVar = ("invariance_weight", "variance_weight", "covariance_weight")
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.variance_weight and objective.covariance_weight or weaken "
        "augment.strength"
    )
    name: Literal["vicreg"] = "vicreg"
    invariance_weight: float = Field(
        25.0, ge=0, le=1000, description="lambda, weight of the distance of a clip's views"
    )
    variance_weight: float = Field(
        25.0,
        ge=0,
        le=1000,
        description="mu, weight of standard deviations below 1; 0 lets projections collapse",
    )
    covariance_weight: float = Field(
        1.0, ge=0, le=1000, description="nu, weight of the covariances of different dimensions"
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return vicreg(projections, self.invariance_weight, self.variance_weight, self.covariance_weight)
