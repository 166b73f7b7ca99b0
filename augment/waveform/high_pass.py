"""High-pass: bass removed, as by a small microphone, a wind filter or a telephone."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.filtering import NEUTRAL_LOW_HZ, FilterConfig

# At any strength the upper half of the spectrum stays.
HIGHEST_CUTOFF_SHARE = 0.25


class HighPassConfig(FilterConfig, frozen=True, extra="forbid"):
    """A cutoff (-3 dB) drawn uniformly in mel. 50 Hz is the rumble filter of a recorder; 800 Hz sounds thin, as a
    telephone's small loudspeaker. A cutoff of 20 Hz changes nothing."""

    name: Literal["high_pass"] = "high_pass"
    min_cutoff_hz: float = Field(
        50.0, ge=NEUTRAL_LOW_HZ, allow_inf_nan=False, description="lowest cutoff in Hz"
    )
    max_cutoff_hz: float = Field(
        800.0,
        ge=NEUTRAL_LOW_HZ,
        allow_inf_nan=False,
        description="highest cutoff in Hz, limited to a quarter of the sample rate",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' HighPassFilter; the strength raises both cutoffs from 20 Hz."""
        from audiomentations import HighPassFilter

        lowest, highest = (
            min(scale_between(NEUTRAL_LOW_HZ, cutoff, strength), HIGHEST_CUTOFF_SHARE * sample_rate_hz)
            for cutoff in (self.min_cutoff_hz, self.max_cutoff_hz)
        )
        return HighPassFilter(
            min_cutoff_freq=lowest,
            max_cutoff_freq=highest,
            min_rolloff=self.min_slope_db_per_octave,
            max_rolloff=self.max_slope_db_per_octave,
            p=1.0,
        )
