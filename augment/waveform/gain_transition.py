"""Gain transition: the loudness moves from one level to another, as of a source that comes or goes."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig

HIGHEST_GAIN_DB = 60.0


class GainTransitionConfig(RangedConfig, frozen=True, extra="forbid"):
    """Two gains drawn from -max_gain_db to +max_gain_db, and a straight line in dB between them.

    6 dB is a source at half or twice its distance. The transition may start before the crop or end after it.
    """

    name: Literal["gain_transition"] = "gain_transition"
    max_gain_db: float = Field(6.0, ge=0, le=HIGHEST_GAIN_DB, description="largest gain or loss in dB")
    min_duration_share: float = Field(
        0.2, gt=0, le=4, description="shortest transition, as a share of the crop"
    )
    max_duration_share: float = Field(
        1.0, gt=0, le=4, description="longest transition, as a share of the crop"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' GainTransition; the strength scales the gains."""
        from audiomentations import GainTransition

        limit = scale_limit(self.max_gain_db, strength, highest=HIGHEST_GAIN_DB)
        return GainTransition(
            min_gain_db=-limit,
            max_gain_db=limit,
            min_duration=self.min_duration_share,
            max_duration=self.max_duration_share,
            duration_unit="fraction",
            p=1.0,
        )
