"""Configs of losses on projections whose negatives are the other clips of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from echopair.models.losses.pairs import same_recording
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

    def excluded(self, batch: Batch) -> torch.Tensor | None:
        """Which clips are no negatives of each other, (N, N) bool; None if there are none.

        Args:
            batch: has recordings if `ignore_same_recording`.
        """
        if not self.ignore_same_recording:
            return None
        assert batch.recordings is not None
        return same_recording(batch.recordings)


class ContrastConfig(NegativesConfig, TemperatureLossConfig):
    """Config of a loss with such negatives and a temperature."""
