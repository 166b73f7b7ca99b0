"""Band-stop: one band removed, so that no embedding depends on it alone; a frequency mask of the waveform."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.filtering import BandFilter, FilterConfig, center_within

# Narrower stops change nothing, and their coefficients vanish by rounding.
LOWEST_BANDWIDTH_SHARE = 0.001
HIGHEST_BANDWIDTH_SHARE = 1.9


class BandStopConfig(FilterConfig, frozen=True, extra="forbid"):
    """A centre drawn uniformly in mel and a width as a share of it; centres are audiomentations' default.

    A width of 0.8 around 1 kHz removes 600 to 1400 Hz: audible, but the source is still recognised.
    """

    name: Literal["band_stop"] = "band_stop"
    min_center_hz: float = Field(
        200.0, ge=20, allow_inf_nan=False, description="lowest centre of the stop in Hz"
    )
    max_center_hz: float = Field(
        4000.0,
        ge=20,
        allow_inf_nan=False,
        description="highest centre in Hz, limited to 0.45 of the sample rate",
    )
    min_bandwidth_share: float = Field(
        0.2,
        ge=LOWEST_BANDWIDTH_SHARE,
        le=HIGHEST_BANDWIDTH_SHARE,
        description="smallest width from edge to edge, as a share of the centre",
    )
    max_bandwidth_share: float = Field(
        0.8,
        ge=LOWEST_BANDWIDTH_SHARE,
        le=HIGHEST_BANDWIDTH_SHARE,
        description="largest width; an upper edge is limited to half the sample rate",
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' BandStopFilter; its width is proportional to the strength."""
        from audiomentations import BandStopFilter

        narrowest, widest = (
            max(scale_limit(share, strength, highest=HIGHEST_BANDWIDTH_SHARE), LOWEST_BANDWIDTH_SHARE)
            for share in (self.min_bandwidth_share, self.max_bandwidth_share)
        )
        band = BandStopFilter(
            min_center_freq=center_within(self.min_center_hz, sample_rate_hz),
            max_center_freq=center_within(self.max_center_hz, sample_rate_hz),
            min_bandwidth_fraction=narrowest,
            max_bandwidth_fraction=widest,
            min_rolloff=self.min_slope_db_per_octave,
            max_rolloff=self.max_slope_db_per_octave,
            p=1.0,
        )
        return BandFilter(band)
