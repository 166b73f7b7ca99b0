"""Low-pass: treble removed, as by a wall, distance or a dull microphone."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.filtering import HIGHEST_EDGE_SHARE, FilterConfig
from echopair.augment.waveform.ranged import within

LOWEST_CUTOFF_HZ = 100.0


class LowPassConfig(FilterConfig, frozen=True, extra="forbid"):
    """A cutoff (-3 dB) drawn uniformly in mel. 2 kHz sounds muffled, yet most sources are still recognised; at
    8 kHz little is missing. A cutoff of half the sample rate or more changes nothing."""

    name: Literal["low_pass"] = "low_pass"
    min_cutoff_hz: float = Field(
        2000.0, ge=LOWEST_CUTOFF_HZ, allow_inf_nan=False, description="lowest cutoff in Hz"
    )
    max_cutoff_hz: float = Field(
        8000.0,
        ge=LOWEST_CUTOFF_HZ,
        allow_inf_nan=False,
        description="highest cutoff in Hz, limited to half the sample rate",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' LowPassFilter; the strength lowers both cutoffs from half the sample rate."""
        from audiomentations import LowPassFilter

        half = sample_rate_hz / 2
        lowest, highest = (
            within(
                scale_between(half, min(cutoff, half), strength),
                LOWEST_CUTOFF_HZ,
                HIGHEST_EDGE_SHARE * sample_rate_hz,
            )
            for cutoff in (self.min_cutoff_hz, self.max_cutoff_hz)
        )
        return LowPassFilter(
            min_cutoff_freq=lowest,
            max_cutoff_freq=highest,
            min_rolloff=self.min_slope_db_per_octave,
            max_rolloff=self.max_slope_db_per_octave,
            p=1.0,
        )
