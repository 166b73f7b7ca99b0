"""Reverse: the crop backwards."""

from typing import Literal

from echopair.augment.augmentation import AllOrNothingConfig
from echopair.augment.waveform.augmentation import Transform, WaveformConfig


class WaveformReverseConfig(AllOrNothingConfig, WaveformConfig, frozen=True, extra="forbid"):
    """The samples in reverse order. Do not use it where classes differ by attack and decay."""

    name: Literal["waveform_reverse"] = "waveform_reverse"

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Reverse."""
        from audiomentations import Reverse

        return Reverse(p=1.0)
