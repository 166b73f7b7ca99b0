"""Time mask on the waveform: a section of time silenced, as by a dropout."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig

HIGHEST_MASK_SHARE = 0.9
# audiomentations' default: long enough that the edges do not click, short compared with a sound event.
FADE_SECONDS = 0.005


class WaveformTimeMaskConfig(RangedConfig, frozen=True, extra="forbid"):
    """One section of digital silence with faded edges; the mask of log-mels fills with the mean instead.

    Up to a fifth of the crop, as a mask of SpecAugment's policy SM (p = 0.2).
    """

    name: Literal["waveform_time_mask"] = "waveform_time_mask"
    min_share: float = Field(
        0.0, ge=0, le=HIGHEST_MASK_SHARE, description="smallest share of the crop that is silenced"
    )
    max_share: float = Field(
        0.2, ge=0, le=HIGHEST_MASK_SHARE, description="largest share of the crop that is silenced"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' TimeMask."""
        from audiomentations import TimeMask

        smallest, largest = (
            scale_limit(share, strength, highest=HIGHEST_MASK_SHARE)
            for share in (self.min_share, self.max_share)
        )
        return TimeMask(min_band_part=smallest, max_band_part=largest, fade_duration=FADE_SECONDS, p=1.0)
