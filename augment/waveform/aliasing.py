"""Aliasing: treble folded down, as by a recorder of low sampling rate without an anti-aliasing filter."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import Faded

LOWEST_RATE_HZ = 1000.0
HIGHEST_RATE_HZ = 192000.0


class AliasingConfig(RangedConfig, frozen=True, extra="forbid"):
    """Resampled to 6 to 12 kHz without a filter: frequencies above 3 to 6 kHz fold to lower ones.

    The strength lowers the rates on a logarithmic scale from that of the crops; rates above it change nothing.
    """

    name: Literal["aliasing"] = "aliasing"
    min_rate_hz: float = Field(
        6000.0,
        ge=LOWEST_RATE_HZ,
        le=HIGHEST_RATE_HZ,
        description="lowest rate to which crops are resampled",
    )
    max_rate_hz: float = Field(
        12000.0,
        ge=LOWEST_RATE_HZ,
        le=HIGHEST_RATE_HZ,
        description="highest rate to which crops are resampled",
    )

    def check(self, sample_rate_hz: int) -> None:
        """Raise for a range that changes nothing.

        Raises:
            ValueError: the whole range is at or above the rate of the crops.
        """
        if self.min_rate_hz >= sample_rate_hz:
            raise ValueError(
                f"min_rate_hz={self.min_rate_hz:g} changes nothing in crops of {sample_rate_hz} Hz: "
                f"lower it, or remove aliasing from the policy"
            )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Aliasing."""
        from audiomentations import Aliasing

        low, high = (
            max(scale_between(sample_rate_hz, min(rate, sample_rate_hz), strength), LOWEST_RATE_HZ)
            for rate in (self.min_rate_hz, self.max_rate_hz)
        )
        # Faded, as its interpolation attenuates the treble at any rate below that of the crops.
        return Faded(Aliasing(min_sample_rate=low, max_sample_rate=high, p=1.0), min(strength, 1.0))
