"""Methods without negatives: the prediction from one view is to match the target of another (BYOL, SimSiam)."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from echopair.lazy import torch
from echopair.models.losses.prediction_similarity import prediction_similarity, similarity_to_other_clips
from echopair.models.methods.encoding import encode
from echopair.models.methods.method import Batch, Method, MethodConfig, StepOutput
from echopair.models.representation_health import (
    COLLAPSED_RANK,
    describe_collapse,
    effective_rank,
    representation_health,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class PredictionConfig(MethodConfig):
    """Config of a prediction method; a subclass adds `name` and its keys."""

    @abstractmethod
    def loss(self, similarity: torch.Tensor) -> torch.Tensor:
        """The loss of a mean cosine similarity of predictions and targets."""


class Prediction(Method):
    """An encoder, a projection head and a predictor; where targets come from, a subclass says.

    Each view is encoded in a pass of its own, so that batch normalisation does not mix views, as in the papers' own
    code.

    Args:
        config: of the method.
        modules: `encoder`, `projection` and `predictor`, and what the targets need.
    """

    config: PredictionConfig

    @abstractmethod
    def targets(self, views: Sequence[torch.Tensor], projections: torch.Tensor) -> torch.Tensor:
        """Targets (V, N, P), without a gradient.

        Args:
            views: as in `Batch`.
            projections: (V, N, P) of them.
        """

    def training_step(self, batch: Batch) -> StepOutput:
        embeddings = torch.cat(
            [encode(self.encoder, [view], batch.views_at_once) for view in batch.views]
        )  # (V, N, D)
        projections = torch.stack([self.modules["projection"](view) for view in embeddings])  # (V, N, P)
        predictions = torch.stack([self.modules["predictor"](view) for view in projections])  # (V, N, P)
        targets = self.targets(batch.views, projections)
        loss = self.config.loss(prediction_similarity(predictions, targets))
        return StepOutput(
            loss,
            partial(
                _metrics,
                self.config,
                embeddings.detach(),
                projections.detach(),
                predictions.detach(),
                targets.detach(),
            ),
        )

    def collapse(self, metrics: dict[str, float]) -> str | None:
        rank = metrics["projection_rank"]
        if rank < COLLAPSED_RANK:  # their batch normalisation may keep projections from becoming equal
            return f"effective rank of the projections {rank:.1f}"
        return describe_collapse(metrics)


def predictor(projection_dim: int, hidden_dim: int) -> torch.nn.Sequential:
    """Two dense layers from projections to predictions, with batch normalisation and a rectifier between."""
    return torch.nn.Sequential(
        torch.nn.Linear(projection_dim, hidden_dim, bias=False),
        torch.nn.BatchNorm1d(hidden_dim),
        torch.nn.ReLU(inplace=True),
        torch.nn.Linear(hidden_dim, projection_dim),
    )


def _metrics(
    config: PredictionConfig,
    embeddings: torch.Tensor,
    projections: torch.Tensor,
    predictions: torch.Tensor,
    targets: torch.Tensor,
) -> dict[str, float]:
    # A low loss alone says nothing, since collapsed encoders reach the lowest. Its distance to the loss with the
    # targets of other clips does: predictions that do not depend on the clip have that loss as well.
    return {
        "loss_chance_level": config.loss(similarity_to_other_clips(predictions, targets)).item(),
        "projection_rank": effective_rank(projections.float().flatten(0, 1)),
        **representation_health(embeddings, projections),
    }
