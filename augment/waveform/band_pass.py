"""Band-pass: one band alone, as a telephone, a small loudspeaker or a radio lets through."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.filtering import NEUTRAL_LOW_HZ, BandFilter, FilterConfig, center_within

LOWEST_BANDWIDTH_SHARE = 0.5
HIGHEST_BANDWIDTH_SHARE = 1.9


class BandPassConfig(FilterConfig, frozen=True, extra="forbid"):
    """A centre drawn evenly in mel and a width as a share of it.

    A telephone's 300 to 3400 Hz are a width of 1.7 around 1850 Hz; the defaults are bands like it, here 300 to
    1700 Hz at the least.
    """

    name: Literal["band_pass"] = "band_pass"
    min_center_hz: float = Field(
        1000.0, ge=100, allow_inf_nan=False, description="lowest centre of the band in Hz"
    )
    max_center_hz: float = Field(
        4000.0,
        ge=100,
        allow_inf_nan=False,
        description="highest centre in Hz, cut at 0.45 of the sample rate",
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
        description="largest width; an upper edge beyond half the sample rate is cut there",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' BandPassFilter; each edge closes in from its end of the spectrum."""
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
    """Edges on their way from the ends of the spectrum, 20 Hz and half the sample rate, towards the centre.

    However strong, they stop where the band is half as wide as its centre is high.
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
