"""Clipping: the loudest samples cut off, as by a recorder set too high."""

from typing import Literal

from pydantic import Field

from augment.strength import scale_limit
from augment.waveform.augmentation import Transform
from augment.waveform.ranged import RangedConfig
from augment.waveform.wrapping import SoundingOnly

HIGHEST_CLIPPED_PERCENT = 80


class ClippingConfig(RangedConfig, frozen=True, extra="forbid"):
    """Up to 20 % of the samples cut off, half of them above and half below: harsh, yet plainly the same sound.

    audiomentations cuts whole percents of either side, so the range goes in steps of 2 % at every strength.
    """

    name: Literal["clipping"] = "clipping"
    min_clipped_percent: int = Field(
        0, ge=0, le=HIGHEST_CLIPPED_PERCENT, multiple_of=2, description="fewest samples cut off, in percent"
    )
    max_clipped_percent: int = Field(
        20, ge=0, le=HIGHEST_CLIPPED_PERCENT, multiple_of=2, description="most samples cut off, in percent"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' ClippingDistortion, on the samples that sound."""
        from audiomentations import ClippingDistortion

        low, high = (
            round(scale_limit(percent, strength, highest=HIGHEST_CLIPPED_PERCENT))
            for percent in (self.min_clipped_percent, self.max_clipped_percent)
        )
        # Otherwise a crop that is mostly digital silence would become nothing but silence.
        return SoundingOnly(
            ClippingDistortion(min_percentile_threshold=low, max_percentile_threshold=high, p=1.0)
        )
