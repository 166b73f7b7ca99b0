"""Configs of losses on projections whose negatives are the other clips of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from echopair.models.methods.projection_loss import ProjectionLossConfig
from echopair.models.methods.temperature import TemperatureLossConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


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


class ContrastConfig(NegativesConfig, TemperatureLossConfig):
    """Config of a loss with such negatives and a temperature."""
