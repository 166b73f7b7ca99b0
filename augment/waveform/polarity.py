"""Polarity: the waveform inverted, as by a microphone with swapped wires."""

from typing import Literal

from echopair.augment.augmentation import AllOrNothingConfig
from echopair.augment.waveform.augmentation import Transform, WaveformConfig


class PolarityConfig(AllOrNothingConfig, WaveformConfig, frozen=True, extra="forbid"):
    """Every sample negated. Alone it is inaudible and leaves the log-mel unchanged; useful before others."""

    name: Literal["polarity"] = "polarity"

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' PolarityInversion."""
        from audiomentations import PolarityInversion

        return PolarityInversion(p=1.0)
