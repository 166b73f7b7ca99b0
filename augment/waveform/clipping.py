"""Clipping: the loudest samples clipped, as by a recorder with too much gain."""

from typing import Any, Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import NonzeroOnly

HIGHEST_CLIPPED_PERCENT = 80


class ClippingConfig(RangedConfig, frozen=True, extra="forbid"):
    """Up to 20 % of the samples clipped, half of them above and half below: harsh, yet clearly the same sound.

    audiomentations clips whole percents on either side, so the range has steps of 2 % at every strength.
    """

    name: Literal["clipping"] = "clipping"
    min_clipped_percent: int = Field(
        0,
        ge=0,
        le=HIGHEST_CLIPPED_PERCENT,
        multiple_of=2,
        description="smallest share of clipped samples in percent",
    )
    max_clipped_percent: int = Field(
        20,
        ge=0,
        le=HIGHEST_CLIPPED_PERCENT,
        multiple_of=2,
        description="largest share of clipped samples in percent",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' ClippingDistortion, on the nonzero samples."""
        from audiomentations import ClippingDistortion

        # The library clips half of the drawn number on either side, rounded down. With one more at the top, the
        # highest even number is as probable as the others.
        low, high = (
            2 * round(scale_limit(percent, strength, highest=HIGHEST_CLIPPED_PERCENT) / 2)
            for percent in (self.min_clipped_percent, self.max_clipped_percent)
        )
        # Nonzero samples only: a crop that is mostly digital silence would become all silence.
        return EvenClipping(
            ClippingDistortion(min_percentile_threshold=low, max_percentile_threshold=high + 1, p=1.0)
        )


class EvenClipping(NonzeroOnly):
    """ClippingDistortion that reports what it clipped: if it drew an odd number of percent, one less."""

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call, with the percentage that was clipped."""
        drawn = dict(super().serialize_parameters())
        if drawn:
            drawn["percentile_threshold"] -= drawn["percentile_threshold"] % 2
        return drawn
