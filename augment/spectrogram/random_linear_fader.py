"""Random linear fader: a level that rises or falls linearly in dB, as of a source that approaches or leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.level import HIGHEST_LEVEL_DB, LevelAugmentation
from echopair.lazy import torch


class RandomLinearFaderConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Gains at both ends drawn from -max_gain_db to +max_gain_db.

    The authors' code draws from -1 to 1 in normalised log-mels, which is +-20 dB at the deviation of 4.7 that
    they give. The default is half of that, so that neither end of a view falls below the noise.
    """

    name: Literal["random_linear_fader"] = "random_linear_fader"
    max_gain_db: float = Field(
        10.0, ge=0, le=HIGHEST_LEVEL_DB, description="largest gain or loss in dB at either end of the view"
    )

    def build(self, strength: float) -> RandomLinearFader:
        """The augmentation at a strength."""
        return RandomLinearFader(self.max_gain_db, strength)


@dataclass(frozen=True)
class FaderParameters:
    """`head_db` and `tail_db` (B,): gain of each example in decibels at its first and at its last frame."""

    head_db: torch.Tensor
    tail_db: torch.Tensor


class RandomLinearFader(LevelAugmentation[FaderParameters]):
    """Adds a straight line over the frames.

    Source: Niizumi et al. 2023 (BYOL for Audio: Exploring Pre-trained General-purpose Audio Representations),
    "Random Linear Fader".
    """

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> FaderParameters:
        """Two gains for each example, uniform in decibels."""
        return FaderParameters(self.draw_decibels(log_mel, generator), self.draw_decibels(log_mel, generator))

    def decibels(self, parameters: FaderParameters, bands: int, frames: int) -> torch.Tensor:  # noqa: ARG002
        """The lines, (B, 1, T)."""
        head_db, tail_db = parameters.head_db[:, None], parameters.tail_db[:, None]
        steps = torch.linspace(0, 1, frames, device=head_db.device)  # (T,)
        return torch.lerp(head_db, tail_db, steps)[:, None, :]
