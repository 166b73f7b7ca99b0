"""Reverse: the crop backwards."""

from typing import Literal

from echopair.augment.augmentation import AllOrNothingConfig
from echopair.augment.waveform.augmentation import Transform, WaveformConfig


class WaveformReverseConfig(AllOrNothingConfig, WaveformConfig, frozen=True, extra="forbid"):
    """Last sample first. Onsets become endings: leave it out where attack against decay tells classes apart."""

    name: Literal["waveform_reverse"] = "waveform_reverse"

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Reverse."""
        from audiomentations import Reverse

        return Reverse(p=1.0)
