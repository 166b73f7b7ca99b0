"""Methods that differ by a loss on projections alone: one encoder and one projection head for all views."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from echopair.lazy import torch
from echopair.models.methods.encoding import encode_share
from echopair.models.methods.method import (
    Batch,
    LearningData,
    Method,
    MethodConfig,
    StepOutput,
)
from echopair.models.processes import gather
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class ProjectionLossConfig(MethodConfig):
    """Config of a loss on projections; a subclass adds `name`, its keys and `loss`."""

    @abstractmethod
    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss of a batch.

        Args:
            projections: (V, N, P), of any norm.
            batch: what the projections were made from.

        Returns:
            Scalar float32.
        """

    def loss_chance_level(self, views: int, pairs: int) -> float | None:
        """Loss of projections that are equally similar to each other; None if that says nothing about chance."""
        return None

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> ProjectionLoss:
        return ProjectionLoss(self, encoder, projection)


class ProjectionLoss(Method):
    """An encoder and a projection head that map all views, trained by the loss of the config."""

    config: ProjectionLossConfig
    HEADS_OF_SHARES: ClassVar[tuple[str, ...]] = ("projection",)

    def __init__(
        self,
        config: ProjectionLossConfig,
        encoder: Encoder,
        projection: ProjectionConfig,
        **modules: torch.nn.Module,
    ) -> None:
        head = projection_head(projection, encoder.embedding_dim)
        super().__init__(config, encoder=encoder, projection=head, **modules)

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss of a batch, see `ProjectionLossConfig.loss`."""
        return self.config.loss(projections, batch)

    def project(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (V, n, D), whose health is logged, and their projections (V, n, P), which the loss compares.

        Of several processes, each gives those of its share.
        """
        embeddings = encode_share(self.encoder, batch.views, batch.views_at_once)  # (V, n, D)
        shape = embeddings.shape[:2]
        projections = self.modules["projection"](embeddings.flatten(0, 1)).unflatten(0, shape)  # (V, n, P)
        return embeddings, projections

    def training_step(self, batch: Batch) -> StepOutput:
        embeddings, projections = self.project(batch)
        projections = gather(projections, dim=1)  # (V, N, P), a fraction of the embeddings' bytes
        loss = self.loss(projections, batch)
        return StepOutput(loss, partial(_metrics, self.config, embeddings.detach(), projections.detach()))


def _metrics(
    config: ProjectionLossConfig, embeddings: torch.Tensor, projections: torch.Tensor
) -> dict[str, float]:
    views, pairs, _ = projections.shape
    chance_level = config.loss_chance_level(views, pairs)
    chance = {} if chance_level is None else {"loss_chance_level": chance_level}
    return {**chance, **representation_health(gather(embeddings, dim=1), projections)}
