"""Bit crush: samples rounded to few levels, as by an old or cheap recorder."""

from typing import Literal

from pydantic import Field

from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import AtFullScale

LOWEST_BITS = 3
# The resolution of the clips: rounding to it changes nothing.
HIGHEST_BITS = 16


class BitCrushConfig(RangedConfig, frozen=True, extra="forbid"):
    """A crop stored with 6 to 12 bits per sample, its peak at full scale.

    6 bits are a clear crackle 41 dB below the peak, 12 are audible in quiet passages only. The strength
    removes bits from 16.
    """

    name: Literal["bit_crush"] = "bit_crush"
    min_bits: int = Field(
        6, ge=LOWEST_BITS, le=HIGHEST_BITS, description="smallest number of bits per sample"
    )
    max_bits: int = Field(
        12, ge=LOWEST_BITS, le=HIGHEST_BITS, description="largest number of bits per sample"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' BitCrush, relative to the crop's peak."""
        from audiomentations import BitCrush

        low, high = (
            max(round(HIGHEST_BITS - (HIGHEST_BITS - bits) * strength), LOWEST_BITS)
            for bits in (self.min_bits, self.max_bits)
        )
        return AtFullScale(BitCrush(min_bit_depth=low, max_bit_depth=high, p=1.0))
