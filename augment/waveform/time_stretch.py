"""Time stretch: faster or slower at the same pitch."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_ratio
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig, within
from echopair.augment.waveform.stretching import PaddedStretch

# Below half speed Signalsmith draws phases from a generator of its own, which cannot be seeded.
LOWEST_RATE, HIGHEST_RATE = 0.5, 2.0


class TimeStretchConfig(RangedConfig, frozen=True, extra="forbid"):
    """A playback rate; above 1 is faster, and the reflected crop then fills the end.

    0.8 to 1.25 is audiomentations' default: clearly audible in rhythms, hardly in steady sounds.
    """

    name: Literal["time_stretch"] = "time_stretch"
    min_rate: float = Field(0.8, ge=LOWEST_RATE, le=HIGHEST_RATE, description="slowest rate")
    max_rate: float = Field(1.25, ge=LOWEST_RATE, le=HIGHEST_RATE, description="fastest rate")

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' TimeStretch by Signalsmith; `PitchShiftConfig.transform` says why not by librosa."""
        from audiomentations import TimeStretch

        slowest, fastest = (
            within(scale_ratio(rate, strength), LOWEST_RATE, HIGHEST_RATE)
            for rate in (self.min_rate, self.max_rate)
        )
        return PaddedStretch(
            TimeStretch(
                min_rate=slowest,
                max_rate=fastest,
                leave_length_unchanged=False,
                method="signalsmith_stretch",
                p=1.0,
            )
        )
