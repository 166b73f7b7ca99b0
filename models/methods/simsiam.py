"""SimSiam: each view predicts the projection of another view, which is held constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.lazy import torch
from echopair.models.methods.prediction import Prediction, PredictionConfig, predictor
from echopair.models.projection import ProjectionConfig, projection_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from echopair.models.encoders.base import Encoder
    from echopair.models.methods.method import LearningData


class SimSiamConfig(PredictionConfig):
    """SimSiam: no negatives and no momentum encoder; each view predicts the projection of another view of its segment.

    Two things prevent collapse: the predictor, and that no gradient flows into what is predicted. Projections are
    batch-normalised. The head has two layers, as the paper's for CIFAR-10 (for ImageNet it has three, 2048 wide).

    Source: Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021, equations 3 and 4, algorithm 1.
    """

    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise projection.projection_dim or objective.predictor_hidden_dim, or take "
        "objective.name=byol"
    )
    name: Literal["simsiam"] = "simsiam"
    predictor_hidden_dim: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="width of the predictor's hidden layer; none: a quarter of projection.projection_dim, as in "
        "the paper",
    )

    def loss(self, similarity: torch.Tensor) -> torch.Tensor:
        return -similarity

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> SimSiam:
        return SimSiam(self, encoder, projection)


class SimSiam(Prediction):
    """One encoder and projection head for all views, and the predictor."""

    config: SimSiamConfig

    def __init__(self, config: SimSiamConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        width = projection.projection_dim
        super().__init__(
            config,
            encoder=encoder,
            projection=torch.nn.Sequential(
                *projection_head(projection, encoder.embedding_dim),
                torch.nn.BatchNorm1d(width, affine=False),
            ),
            predictor=predictor(width, config.predictor_hidden_dim or max(1, width // 4)),
        )

    def targets(self, views: Sequence[torch.Tensor], projections: torch.Tensor) -> torch.Tensor:
        return projections.detach()
