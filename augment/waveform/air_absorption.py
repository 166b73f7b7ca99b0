"""Air absorption: treble attenuated over a distance in air."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig

HIGHEST_DISTANCE_METRES = 2500.0
LOWEST_HUMIDITY_PERCENT = 30
HIGHEST_HUMIDITY_PERCENT = 90


class AirAbsorptionConfig(RangedConfig, frozen=True, extra="forbid"):
    """A distance of 10 to 100 m, a bird across a clearing: 8 kHz loses 1 to 25 dB, 1 kHz at most 1 dB.

    Distances are proportional to the strength. Air of 10 or 20 degrees Celsius; the loss of loudness by
    distance is left to the gain.
    """

    name: Literal["air_absorption"] = "air_absorption"
    min_distance_metres: float = Field(
        10.0, gt=0, le=HIGHEST_DISTANCE_METRES, description="shortest distance in air"
    )
    max_distance_metres: float = Field(
        100.0, gt=0, le=HIGHEST_DISTANCE_METRES, description="longest distance in air"
    )
    min_humidity_percent: int = Field(
        30,
        ge=LOWEST_HUMIDITY_PERCENT,
        le=HIGHEST_HUMIDITY_PERCENT,
        description="driest air: dry air attenuates treble more",
    )
    max_humidity_percent: int = Field(
        90, ge=LOWEST_HUMIDITY_PERCENT, le=HIGHEST_HUMIDITY_PERCENT, description="most humid air"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' AirAbsorption."""
        from audiomentations import AirAbsorption

        transform: Transform = AirAbsorption(
            min_distance=scale_limit(self.min_distance_metres, strength, highest=HIGHEST_DISTANCE_METRES),
            max_distance=scale_limit(self.max_distance_metres, strength, highest=HIGHEST_DISTANCE_METRES),
            min_humidity=self.min_humidity_percent,
            max_humidity=self.max_humidity_percent,
            min_temperature=10.0,
            max_temperature=20.0,
            p=1.0,
        )
        return transform
