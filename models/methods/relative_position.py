"""Pretext task: which of two crops of a clip comes first."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from echopair.lazy import torch
from echopair.models.losses.binary_cross_entropy import binary_cross_entropy
from echopair.models.methods.encoding import encode
from echopair.models.methods.method import (
    Batch,
    LearningData,
    Method,
    MethodConfig,
    StepOutput,
)
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class RelativePositionConfig(MethodConfig):
    """Which of two crops of a segment comes first? The crops do not overlap, and which view is first is random.

    A pretext task, as a baseline. It learns what has a direction in time: attacks, decays, phrases. Sound that is
    the same all the time gives it nothing.

    Source: Doersch et al., Unsupervised Visual Representation Learning by Context Prediction, ICCV 2015, section 3,
    with two positions; Misra et al., Shuffle and Learn, ECCV 2016, section 3 (order in time as a binary question).
    """

    MAX_VIEWS: ClassVar = 2
    POSITIVES: ClassVar = ("apart",)
    name: Literal["relative_position"] = "relative_position"

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> RelativePosition:
        return RelativePosition(self, encoder, projection)


class RelativePosition(Method):
    """An encoder and a head that reads the concatenated embeddings of both crops."""

    config: RelativePositionConfig

    def __init__(
        self, config: RelativePositionConfig, encoder: Encoder, projection: ProjectionConfig
    ) -> None:
        shape = projection.model_copy(update={"projection_dim": 1})
        head = projection_head(shape, 2 * encoder.embedding_dim)
        super().__init__(config, encoder=encoder, head=head)

    def training_step(self, batch: Batch) -> StepOutput:
        assert batch.starts is not None
        embeddings = encode(self.encoder, batch.views, batch.views_at_once)  # (2, N, D)
        logits = self.modules["head"](torch.cat([*embeddings], dim=1)).squeeze(1)  # (N,)
        first_comes_first = batch.starts[0] < batch.starts[1]  # (N,)
        loss = binary_cross_entropy(logits, first_comes_first)
        return StepOutput(loss, partial(_metrics, embeddings.detach(), logits.detach(), first_comes_first))


def _metrics(embeddings: torch.Tensor, logits: torch.Tensor, answers: torch.Tensor) -> dict[str, float]:
    return {
        "loss_chance_level": math.log(2),
        "order_accuracy": ((logits > 0) == answers).float().mean().item(),
        "order_accuracy_chance_level": 0.5,
        **representation_health(embeddings, embeddings),
    }
