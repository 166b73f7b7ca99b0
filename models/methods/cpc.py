"""Contrastive predictive coding: a recurrent context over the encoder's frames predicts the frames to come."""

from __future__ import annotations

import math
from functools import partial
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
    """CPC: a GRU over the frames of a view's feature map predicts the next ones, among those of the other clips.

    Each view is a sequence of its own; frames of the other clips of the batch at the same time are the negatives. Needs
    an encoder with a feature map whose pooling has no weights, which CPC would leave untrained: `resnet`. Neighbouring
    frames of a deep encoder have seen much the same sound, so longer crops and shallow encoders make the task harder.

    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equations 3 and 4.
    """

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
        features = encoder.features(torch.zeros(1, 1, data.mel_bands, data.frames))  # (1, C, F', T')
        encoder.train(was_training)
        trained = torch.autograd.grad(features.sum(), list(encoder.parameters()), allow_unused=True)
        if any(gradient is None for gradient in trained):
            raise ValueError(
                f"objective.name={self.name} trains the encoder up to its feature map, and "
                f"encoder.name={encoder.config.name} has weights behind it that would stay random; "
                "set encoder.name=resnet"
            )
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
        channels = cast("int", encoder.feature_channels)
        super().__init__(
            config,
            encoder=encoder,
            context=torch.nn.GRU(channels, config.context_dim, batch_first=True),
            predictions=torch.nn.ModuleList(
                torch.nn.Linear(config.context_dim, channels, bias=False) for _ in range(config.steps_ahead)
            ),
        )

    def training_step(self, batch: Batch) -> StepOutput:
        encoder = cast("Encoder", self.encoder)
        maps = feature_maps(encoder, batch.views, batch.views_at_once)  # V of (N, C, F', T')
        results = [self._predict(one.mean(2).transpose(1, 2)) for one in maps]
        losses, accuracies = zip(*results, strict=True)
        loss, accuracy = torch.stack(losses).mean(), torch.stack(accuracies).mean()
        return StepOutput(loss, partial(_metrics, encoder, [one.detach() for one in maps], accuracy))

    def _predict(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and accuracy of the frames (N, T', C) of one view."""
        contexts, _ = self.modules["context"](frames)  # (N, T', context)
        predictions = cast("torch.nn.ModuleList", self.modules["predictions"])
        return future_frames(
            frames, [predict(contexts[:, :-k]) for k, predict in enumerate(predictions, start=1)]
        )


def _metrics(encoder: Encoder, maps: list[torch.Tensor], accuracy: torch.Tensor) -> dict[str, float]:
    clips = len(maps[0])
    embeddings = torch.stack([encoder.pool(one) for one in maps])  # (V, N, D)
    return {
        "loss_chance_level": math.log(clips),
        "prediction_accuracy": accuracy.item(),
        "prediction_accuracy_chance_level": 1 / clips,
        **representation_health(embeddings, embeddings),
    }
