"""Supervised cross-entropy of an encoder and a linear classifier; the reference for learning without labels."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from echopair.lazy import torch
from echopair.models.losses.cross_entropy import cross_entropy
from echopair.models.methods.encoding import encode
from echopair.models.methods.method import (
    Batch,
    LearningData,
    Method,
    MethodConfig,
    StepOutput,
)
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder
    from echopair.models.projection import ProjectionConfig


class CrossEntropyConfig(MethodConfig):
    """Supervised: a linear classifier on the embedding of each view, trained with the encoder.

    The target of a clip with k labels is 1 / k for each of them; a clip without labels is left out of the loss.

    Source: Mahajan et al., Exploring the Limits of Weakly Supervised Pretraining, ECCV 2018 (targets of 1 / k).
    """

    LEARNS_LABELS: ClassVar = True
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, weaken augment.strength or learn from more labels"
    )
    name: Literal["cross_entropy"] = "cross_entropy"

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> CrossEntropy:
        return CrossEntropy(self, encoder, len(data.labels))


class CrossEntropy(Method):
    """An encoder and a linear classifier of its embeddings."""

    config: CrossEntropyConfig

    def __init__(self, config: CrossEntropyConfig, encoder: Encoder, labels: int) -> None:
        super().__init__(config, encoder=encoder, classifier=torch.nn.Linear(encoder.embedding_dim, labels))

    def training_step(self, batch: Batch) -> StepOutput:
        assert batch.labels is not None
        embeddings = encode(self.encoder, batch.views, batch.views_at_once)  # (V, N, D)
        logits = self.modules["classifier"](embeddings)  # (V, N, C)
        loss = cross_entropy(logits, batch.labels)
        return StepOutput(loss, partial(_metrics, embeddings.detach(), logits.detach(), batch.labels))


def _metrics(embeddings: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    right = labels.expand(logits.shape).gather(2, logits.argmax(2, keepdim=True))[..., 0]  # (V, N)
    labelled = labels.any(1)
    clips = max(1, int(labelled.sum()))
    return {
        "loss_chance_level": math.log(labels.shape[1]),
        "label_accuracy": right[:, labelled].sum().item() / (len(logits) * clips),
        # The best constant answer: the most frequent label of the batch.
        "label_accuracy_chance_level": labels.sum(0).max().item() / clips,
        **representation_health(embeddings, embeddings),
    }
