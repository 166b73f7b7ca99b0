"""Clipping: the loudest samples cut off, as by a recorder set too high."""

from typing import Any, Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import SoundingOnly

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

        # The library cuts half of an even number on either side, and the half of an odd one rounded down: one more
        # at the top gives the highest even number both its draws.
        low, high = (
            2 * round(scale_limit(percent, strength, highest=HIGHEST_CLIPPED_PERCENT) / 2)
            for percent in (self.min_clipped_percent, self.max_clipped_percent)
        )
        # Otherwise a crop that is mostly digital silence would become nothing but silence.
        return EvenClipping(
            ClippingDistortion(min_percentile_threshold=low, max_percentile_threshold=high + 1, p=1.0)
        )


class EvenClipping(SoundingOnly):
    """ClippingDistortion that tells what it cut: of an odd number of percent one less than it drew."""

    def serialize_parameters(self) -> dict[str, Any]:
        """What was cut last."""
        drawn = dict(super().serialize_parameters())
        if drawn:
            drawn["percentile_threshold"] -= drawn["percentile_threshold"] % 2
        return drawn
