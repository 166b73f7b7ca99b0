"""Band-pass: one band only, as of a telephone, a small loudspeaker or a radio."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.filtering import NEUTRAL_LOW_HZ, BandFilter, FilterConfig, center_within

LOWEST_BANDWIDTH_SHARE = 0.5
HIGHEST_BANDWIDTH_SHARE = 1.9


class BandPassConfig(FilterConfig, frozen=True, extra="forbid"):
    """A centre drawn uniformly in mel and a width as a share of it.

    A telephone's 300 to 3400 Hz are a width of 1.7 around 1850 Hz; the defaults are similar bands, the lowest
    one 300 to 1700 Hz.
    """

    name: Literal["band_pass"] = "band_pass"
    min_center_hz: float = Field(
        1000.0, ge=100, allow_inf_nan=False, description="lowest centre of the band in Hz"
    )
    max_center_hz: float = Field(
        4000.0,
        ge=100,
        allow_inf_nan=False,
        description="highest centre in Hz, limited to 0.45 of the sample rate",
    )
    min_bandwidth_share: float = Field(
        1.4,
        ge=LOWEST_BANDWIDTH_SHARE,
        le=HIGHEST_BANDWIDTH_SHARE,
        description="smallest width from edge to edge, as a share of the centre",
    )
    max_bandwidth_share: float = Field(
        1.8,
        ge=LOWEST_BANDWIDTH_SHARE,
        le=HIGHEST_BANDWIDTH_SHARE,
        description="largest width; an upper edge is limited to half the sample rate",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' BandPassFilter; the strength moves each edge from its end of the spectrum."""
        from audiomentations import BandPassFilter

        band = BandPassFilter(
            min_center_freq=center_within(self.min_center_hz, sample_rate_hz),
            max_center_freq=center_within(self.max_center_hz, sample_rate_hz),
            min_bandwidth_fraction=self.min_bandwidth_share,
            max_bandwidth_fraction=self.max_bandwidth_share,
            min_rolloff=self.min_slope_db_per_octave,
            max_rolloff=self.max_slope_db_per_octave,
            p=1.0,
        )
        return BandFilter(band, _Narrowing(strength, sample_rate_hz / 2))


@dataclass(frozen=True)
class _Narrowing:
    """Moves the edges from the ends of the spectrum, 20 Hz and half the sample rate, towards the centre.

    At any strength the band is at least half as wide as its centre is high.
    """

    strength: float
    highest_hz: float

    def __call__(self, low: float, center: float, high: float) -> tuple[float, float]:
        low = max(low, NEUTRAL_LOW_HZ)
        high = min(high, self.highest_hz)
        return (
            min(scale_between(NEUTRAL_LOW_HZ, low, self.strength), center * (1 - LOWEST_BANDWIDTH_SHARE / 2)),
            max(
                scale_between(self.highest_hz, high, self.strength), center * (1 + LOWEST_BANDWIDTH_SHARE / 2)
            ),
        )
