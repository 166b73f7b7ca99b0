"""Contrastive predictive coding: a recurrent context over the encoder's frames predicts the frames to come."""

from __future__ import annotations

import math
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from echopair.lazy import torch
from echopair.models.losses.future_frames import future_frames
from echopair.models.methods.encoding import feature_maps
from echopair.models.methods.method import (
    Batch,
    LearningData,
    Method,
    MethodConfig,
    StepOutput,
    check_gives_features,
)
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder
    from echopair.models.projection import ProjectionConfig


class CPCConfig(MethodConfig):
    """CPC: a GRU over the frames of one view predicts the next frames of another view among all frames of the batch.

    The frames of a view are those of the encoder's feature map, each pooled as an embedding. Past and future are of one
    crop with different augmentations, which therefore do not give away the clip. The other frames of the same view and
    those of the other clips are the negatives. Neighbouring frames of a deep encoder have seen much the same sound, so
    longer crops and shallow encoders make the task harder.

    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equations 3 and 4;
    Kharitonov et al., Data Augmenting Contrastive Learning of Speech Representations in the Time Domain, SLT 2021,
    section 3 (past and future augmented separately).
    """

    POSITIVES: ClassVar = ("same_crop",)
    DIVERGED_ADVICE: ClassVar = "lower pretrain.learning_rate or set pretrain.precision=float32"
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, take longer crops (crops.crop_seconds) or weaken augment.strength"
    )
    name: Literal["cpc"] = "cpc"
    steps_ahead: int = Field(2, ge=1, le=100, description="future frames of the feature map to predict, K")
    context_dim: int = Field(256, ge=8, le=4096, description="units of the GRU (256 in the paper)")

    def check_data(self, encoder: Encoder, data: LearningData) -> None:
        check_gives_features(self.name, encoder)
        if not data.frames:
            return
        was_training = encoder.training
        encoder.eval()  # a single log-mel, and no statistic of it is kept
        with torch.no_grad():
            features = encoder.features(torch.zeros(1, 1, data.mel_bands, data.frames))  # (1, C, F', T')
        encoder.train(was_training)
        if features.shape[3] <= self.steps_ahead:
            raise ValueError(
                f"objective.steps_ahead={self.steps_ahead}: encoder.name={encoder.config.name} makes "
                f"{features.shape[3]} frames of a crop, and one is needed to predict from; lower it, or set a longer "
                "crops.crop_seconds"
            )

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> CPC:
        return CPC(self, encoder)


class CPC(Method):
    """An encoder, a GRU over its frames, and a linear prediction for each step ahead."""

    config: CPCConfig

    def __init__(self, config: CPCConfig, encoder: Encoder) -> None:
        dim = encoder.embedding_dim
        super().__init__(
            config,
            encoder=encoder,
            context=torch.nn.GRU(dim, config.context_dim, batch_first=True),
            predictions=torch.nn.ModuleList(
                torch.nn.Linear(config.context_dim, dim, bias=False) for _ in range(config.steps_ahead)
            ),
        )

    def training_step(self, batch: Batch) -> StepOutput:
        encoder = cast("Encoder", self.encoder)
        maps = feature_maps(encoder, batch.views, batch.views_at_once)  # V of (N, C, F', T')
        frames = [_frame_embeddings(encoder, one) for one in maps]  # V of (N, T', D)
        results = [self._predict(*pair) for pair in zip(frames, frames[1:] + frames[:1], strict=True)]
        losses, accuracies = zip(*results, strict=True)
        loss, accuracy = torch.stack(losses).mean(), torch.stack(accuracies).mean()
        return StepOutput(
            loss,
            partial(_metrics, encoder, self.config.steps_ahead, [one.detach() for one in maps], accuracy),
        )

    def _predict(self, seen: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and accuracy of predicting frames (N, T', D) of one view from those of another."""
        contexts, _ = self.modules["context"](seen)  # (N, T', context)
        predictions = cast("torch.nn.ModuleList", self.modules["predictions"])
        return future_frames(
            frames, [predict(contexts[:, :-k]) for k, predict in enumerate(predictions, start=1)]
        )


def _frame_embeddings(encoder: Encoder, features: torch.Tensor) -> torch.Tensor:
    """Each frame of feature maps (N, C, F', T') pooled as if it were a map of its own, (N, T', D)."""
    frames = features.permute(0, 3, 1, 2).flatten(0, 1).unsqueeze(3)  # (N T', C, F', 1)
    pooled = encoder.pool(frames)
    return pooled.view(len(features), -1, pooled.shape[1])


def _metrics(
    encoder: Encoder, steps_ahead: int, maps: list[torch.Tensor], accuracy: torch.Tensor
) -> dict[str, float]:
    candidates = [len(one) * (one.shape[3] - k) for one in maps for k in range(1, steps_ahead + 1)]
    embeddings = torch.stack([encoder.pool(one) for one in maps])  # (V, N, D)
    return {
        "loss_chance_level": fmean(math.log(count) for count in candidates),
        "prediction_accuracy": accuracy.item(),
        "prediction_accuracy_chance_level": fmean(1 / count for count in candidates),
        **representation_health(embeddings, embeddings),
    }
