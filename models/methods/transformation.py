"""Pretext task: which augmentations a view got, told from the view alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from echopair.lazy import torch
from echopair.models.losses.binary_cross_entropy import binary_cross_entropy, constant_answers
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


class TransformationConfig(MethodConfig):
    """Which augmentations did a view get? A yes or no for each that some views get and others do not.

    A pretext task, as a yardstick. Augmentations that all views get are no question: take a policy that draws
    (`augment.policy.name=random`), or give augmentations a `probability`.

    Source: Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018, equations 1
    and 2.
    """

    COLLAPSED_ADVICE: ClassVar = "lower pretrain.learning_rate or raise augment.strength"
    name: Literal["transformation"] = "transformation"

    def check_data(self, encoder: Encoder, data: LearningData) -> None:
        if not data.augmentations:
            raise ValueError(
                f"objective.name={self.name} tells which augmentations a view got, and all views get the same: set "
                "augment.policy.name=random and augment.strength above 0, or give augmentations a probability below 1"
            )

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> Transformation:
        return Transformation(self, encoder, projection, len(data.augmentations))


class Transformation(Method):
    """An encoder and a head with an output for each augmentation."""

    config: TransformationConfig

    def __init__(
        self, config: TransformationConfig, encoder: Encoder, projection: ProjectionConfig, augmentations: int
    ) -> None:
        shape = projection.model_copy(update={"projection_dim": augmentations})
        head = projection_head(shape, encoder.embedding_dim)
        super().__init__(config, encoder=encoder, head=head)

    def training_step(self, batch: Batch) -> StepOutput:
        assert batch.augmentations is not None
        embeddings = encode(self.encoder, batch.views, batch.views_at_once)  # (V, N, D)
        logits = self.modules["head"](embeddings.flatten(0, 1)).unflatten(
            0, embeddings.shape[:2]
        )  # (V, N, A)
        answers = batch.augmentations.to(logits.device)
        loss = binary_cross_entropy(logits, answers)
        return StepOutput(loss, partial(_metrics, embeddings.detach(), logits.detach(), answers))


def _metrics(embeddings: torch.Tensor, logits: torch.Tensor, answers: torch.Tensor) -> dict[str, float]:
    loss, accuracy = constant_answers(answers)
    return {
        "loss_chance_level": loss,
        "augmentation_accuracy": ((logits > 0) == answers).float().mean().item(),
        "augmentation_accuracy_chance_level": accuracy,
        **representation_health(embeddings, embeddings),
    }
