"""Gain: the whole view louder or softer, as of a nearer or farther source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.level import HIGHEST_LEVEL_DB, LevelAugmentation
from echopair.lazy import torch


class GainConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A gain drawn from -max_gain_db to +max_gain_db; 6 dB is twice or half the distance."""

    name: Literal["gain"] = "gain"
    max_gain_db: float = Field(6.0, ge=0, le=HIGHEST_LEVEL_DB, description="largest gain or loss in dB")

    def build(self, strength: float) -> Gain:
        """The augmentation at a strength."""
        return Gain(self.max_gain_db, strength)


@dataclass(frozen=True)
class GainParameters:
    """`gain_db` (B,): gain of each example in decibels."""

    gain_db: torch.Tensor


class Gain(LevelAugmentation[GainParameters]):
    """Adds a constant in decibels to an example."""

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> GainParameters:
        """A gain for each example, uniform in decibels."""
        return GainParameters(self.draw_decibels(log_mel, generator))

    def decibels(self, parameters: GainParameters, bands: int, frames: int) -> torch.Tensor:  # noqa: ARG002
        """The gains, (B, 1, 1)."""
        return parameters.gain_db[:, None, None]
