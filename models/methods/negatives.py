"""Configs of losses on projections whose negatives are the other clips of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from echopair.models.methods.projection_loss import ProjectionLoss, ProjectionLossConfig
from echopair.models.methods.temperature import TemperatureConfig, current_temperature, with_temperature

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.encoders.base import Encoder
    from echopair.models.methods.method import Batch, LearningData, StepOutput
    from echopair.models.projection import ProjectionConfig


class NegativesConfig(ProjectionLossConfig):
    """Config of a loss whose negatives are the other clips of the batch."""

    ignore_same_recording: bool = Field(
        False,
        description="clips cut from one recording, and copies of one sound, are no negatives of each other",
    )

    @property
    def reads_recordings(self) -> bool:
        return self.ignore_same_recording

    def recordings(self, batch: Batch) -> torch.Tensor | None:
        """The recording of each clip, (N,) int64, if clips of one are no negatives of each other; otherwise None."""
        return batch.recordings if self.ignore_same_recording else None


class ContrastConfig(NegativesConfig, TemperatureConfig):
    """Config of a loss with such negatives and a temperature."""

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> Contrast:
        return Contrast(self, encoder, projection, **self.temperature_modules())


class Contrast(ProjectionLoss):
    """An encoder, a projection head and, if it is learned, the temperature of the loss."""

    config: ContrastConfig

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        # A learned temperature is a tensor, which a config that comes from outside never has.
        config = self.config.model_copy(update={"temperature": current_temperature(self)})
        return config.loss(projections, batch)

    def training_step(self, batch: Batch) -> StepOutput:
        return with_temperature(super().training_step(batch), self.config, current_temperature(self))
