"""BYOL: each view predicts what a momentum encoder makes of another view."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from echopair.lazy import torch
from echopair.models.methods.momentum import (
    copied_projections,
    momentum_copy,
    rising_momentum,
    update_average,
)
from echopair.models.methods.prediction import Prediction, PredictionConfig, predictor
from echopair.models.projection import ProjectionConfig, projection_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from echopair.models.encoders.base import Encoder
    from echopair.models.methods.method import LearningData


class BYOLConfig(PredictionConfig):
    """BYOL: no negatives; each view predicts the projection that a momentum encoder gives another view of its segment.

    The loss is the mean over all ordered pairs of views, for two views half of the paper's sum. The paper's
    projections have 256 dimensions, and both heads a hidden layer of 4096. The momentum, 0.99, is that of BYOL-A
    (Niizumi et al., IJCNN 2021); the paper has 0.996, for 300 epochs or more of ImageNet.

    Source: Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, equations 1 and 2.
    """

    CHANGEABLE: ClassVar = ("momentum",)
    COLLAPSED_ADVICE: ClassVar = (
        "raise objective.momentum or objective.predictor_hidden_dim, or lower pretrain.learning_rate"
    )
    name: Literal["byol"] = "byol"
    momentum: float = Field(
        0.99, ge=0, lt=1, description="share of its weights that the momentum encoder keeps per step"
    )
    momentum_schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="cosine: it rises to 1 in the course of the training, as in the paper"
    )
    predictor_hidden_dim: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="width of the predictor's hidden layer; none: that of the projection head, as in the paper",
    )

    def loss(self, similarity: torch.Tensor) -> torch.Tensor:
        return 2 - 2 * similarity

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> BYOL:
        return BYOL(self, encoder, projection)


class BYOL(Prediction):
    """The online encoder and its heads, and the momentum encoder that gives the targets."""

    config: BYOLConfig

    def __init__(self, config: BYOLConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        hidden_dim = projection.hidden_dim or encoder.embedding_dim
        head = projection_head(projection, encoder.embedding_dim)
        super().__init__(
            config,
            encoder=encoder,
            projection=head,
            predictor=predictor(projection.projection_dim, config.predictor_hidden_dim or hidden_dim),
            momentum=momentum_copy(encoder, head),
        )

    def targets(self, views: Sequence[torch.Tensor], projections: torch.Tensor) -> torch.Tensor:
        momentum = cast("torch.nn.Sequential", self.modules["momentum"])
        return torch.stack([copied_projections(momentum, view) for view in views])  # (V, N, P)

    def after_step(self, step: int, steps: int) -> None:
        """Move the momentum encoder towards the online one."""
        momentum = self.config.momentum
        if self.config.momentum_schedule == "cosine":
            momentum = rising_momentum(momentum, step, steps)
        update_average(self.modules["momentum"], [self.encoder, self.modules["projection"]], momentum)
