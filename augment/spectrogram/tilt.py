"""Tilt: treble raised against bass or lowered, as by another microphone, distance or room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.level import HIGHEST_LEVEL_DB, LevelAugmentation
from echopair.lazy import torch


class TiltConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A slope drawn from -max_tilt_db to +max_tilt_db; 6 dB is +-3 dB at the ends, as of a common microphone."""

    name: Literal["tilt"] = "tilt"
    max_tilt_db: float = Field(
        6.0,
        ge=0,
        le=HIGHEST_LEVEL_DB,
        description="largest rise or fall in dB from the lowest to the highest band",
    )

    def build(self, strength: float) -> Tilt:
        """The augmentation at a strength."""
        return Tilt(self.max_tilt_db, strength)


@dataclass(frozen=True)
class TiltParameters:
    """`tilt_db` (B,): rise of each example in decibels from its lowest to its highest band."""

    tilt_db: torch.Tensor


class Tilt(LevelAugmentation[TiltParameters]):
    """Adds a straight line over the mel bands, 0 dB at the centre so that the level does not change."""

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> TiltParameters:
        """A slope for each example, uniform in decibels."""
        return TiltParameters(self.draw_decibels(log_mel, generator))

    def decibels(self, parameters: TiltParameters, bands: int, frames: int) -> torch.Tensor:  # noqa: ARG002
        """The lines, (B, F, 1)."""
        line = torch.linspace(-0.5, 0.5, bands, device=parameters.tilt_db.device)  # (F,)
        return (parameters.tilt_db[:, None] * line)[:, :, None]
