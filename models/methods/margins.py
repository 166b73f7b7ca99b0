"""Methods whose loss has a margin: contrastive pairs, triplets and the lifted structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.losses.margins import contrastive_pairs, lifted_structure
from echopair.models.losses.triplets import Sampling, triplet
from echopair.models.methods.negatives import NegativesConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class MarginConfig(NegativesConfig):
    """Config of a loss with a margin; a subclass adds `name` and the range of `margin`."""

    CHANGEABLE: ClassVar = ("margin",)
    DIVERGED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate or objective.margin, or set pretrain.precision=float32"
    )
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.margin or weaken augment.strength"
    )


class ContrastivePairsConfig(MarginConfig):
    """Positives attract each other; negatives repel each other up to a margin.

    Source: Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation
    4, on projections of norm 1; first in Chopra, Hadsell and LeCun, CVPR 2005. Loss at chance: none, since it
    depends on how far projections are apart.
    """

    name: Literal["contrastive_pairs"] = "contrastive_pairs"
    margin: float = Field(
        1.0, gt=0, le=2, description="distance up to which negatives repel each other; 2 is the largest"
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return contrastive_pairs(projections, self.margin, self.recordings(batch))


class TripletConfig(MarginConfig):
    """A positive is to be nearer than a negative, by a margin.

    Source: Schroff et al., FaceNet, CVPR 2015, equations 3 and 4; `distance_weighted` of Wu et al., Sampling Matters in
    Deep Embedding Learning, ICCV 2017, equation 4. Equal projections have the margin as loss.
    """

    COLLAPSED_ADVICE: ClassVar = (
        "set objective.sampling=distance_weighted or semi_hard, lower pretrain.learning_rate, raise objective.margin "
        "or weaken augment.strength"
    )
    name: Literal["triplet"] = "triplet"
    margin: float = Field(
        0.2, gt=0, le=4, description="difference of squared distances (0.2 in FaceNet); 4 is the largest"
    )
    sampling: Sampling = Field(
        "semi_hard",
        description="negatives of an anchor and its positive: all; the nearest beyond the positive; the nearest; or "
        "one that is drawn so that all distances are equally frequent",
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return triplet(projections, self.margin, self.sampling, batch.generator, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return self.margin


class LiftedStructureConfig(MarginConfig):
    """Each positive pair against all negatives of both of its projections, near ones most.

    Source: Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016, equation 4, on
    projections of norm 1. Loss at chance: none, since it depends on how far projections are apart.
    """

    name: Literal["lifted_structure"] = "lifted_structure"
    margin: float = Field(
        1.0, gt=0, le=10, description="distance to which negatives are to be pushed (1 in the authors' code)"
    )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return lifted_structure(projections, self.margin, self.recordings(batch))
