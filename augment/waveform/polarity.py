"""Polarity: the waveform upside down, as a microphone wired the other way would record it."""

from typing import Literal

from echopair.augment.augmentation import AllOrNothingConfig
from echopair.augment.waveform.augmentation import Transform, WaveformConfig


class PolarityConfig(AllOrNothingConfig, WaveformConfig, frozen=True, extra="forbid"):
    """Every sample negated; inaudible alone, and a log-mel cannot see it: of use before other augmentations."""

    name: Literal["polarity"] = "polarity"

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' PolarityInversion."""
        from audiomentations import PolarityInversion

        return PolarityInversion(p=1.0)
