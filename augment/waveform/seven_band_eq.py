"""Seven-band equalizer: another timbre, as of another source, microphone or room."""

from typing import Any, Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform, Waveform, WaveformConfig
from echopair.augment.waveform.filtering import HIGHEST_EDGE_SHARE

HIGHEST_GAIN_DB = 24.0


class SevenBandEqConfig(WaveformConfig, frozen=True, extra="forbid"):
    """A gain for each of seven bands, drawn from -max_gain_db to +max_gain_db.

    6 dB is half of audiomentations' default: neighbouring bands overlap and add up, and microphones rarely
    differ by more.
    """

    name: Literal["seven_band_eq"] = "seven_band_eq"
    max_gain_db: float = Field(
        6.0, ge=0, le=HIGHEST_GAIN_DB, description="largest gain or loss of a band in dB"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' SevenBandParametricEQ."""
        from audiomentations import SevenBandParametricEQ

        limit = scale_limit(self.max_gain_db, strength, highest=HIGHEST_GAIN_DB)
        equalizer = SevenBandParametricEQ(min_gain_db=-limit, max_gain_db=limit, p=1.0)
        return _SevenBands(equalizer, HIGHEST_EDGE_SHARE * sample_rate_hz)


class _SevenBands:
    """audiomentations' equalizer with its bands below half the sample rate, which reports its parameters.

    The library's bands reach to 9.5 kHz; a peak above half the sample rate would be an unstable filter. It
    does not report the parameters of its bands.
    """

    def __init__(self, equalizer: Any, highest_hz: float) -> None:
        self._equalizer = equalizer
        self._bands = (
            equalizer.low_shelf_filter,
            *equalizer.peaking_filters,
            equalizer.high_shelf_filter,
        )
        for band in self._bands:
            band.min_center_freq = min(band.min_center_freq, highest_hz)
            band.max_center_freq = min(band.max_center_freq, highest_hz)

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        equalized: Waveform = self._equalizer(samples, sample_rate)
        return equalized

    def serialize_parameters(self) -> dict[str, Any]:
        return {
            f"band_{number}_{key}": value
            for number, band in enumerate(self._bands, start=1)
            for key, value in band.parameters.items()
            if key != "should_apply"
        }
