"""Waveform gain: the whole crop louder or softer, before augmentations that depend on the level."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform, WaveformConfig

HIGHEST_GAIN_DB = 60.0


class WaveformGainConfig(WaveformConfig, frozen=True, extra="forbid"):
    """A gain drawn from -max_gain_db to +max_gain_db."""

    name: Literal["waveform_gain"] = "waveform_gain"
    max_gain_db: float = Field(6.0, ge=0, le=HIGHEST_GAIN_DB, description="largest gain or loss in dB")

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Gain."""
        from audiomentations import Gain

        limit = scale_limit(self.max_gain_db, strength, highest=HIGHEST_GAIN_DB)
        return Gain(min_gain_db=-limit, max_gain_db=limit, p=1.0)
