"""Coloured noise: rumble, wind, rain or hiss added to the crop."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.noise import NoiseConfig
from echopair.lazy import np

STEEPEST_SLOPE_DB = 12.0
LOWEST_NOISE_HZ = 50.0


class ColouredNoiseConfig(NoiseConfig, frozen=True, extra="forbid"):
    """Noise 10 to 40 dB below the crop whose power density has a slope in decibels per octave.

    -6 is brown (distant thunder), -3 pink (rain), 0 white, +6 violet (an electronic hiss); the strength changes
    the ratio only. The range is that of audiomentations.
    """

    name: Literal["coloured_noise"] = "coloured_noise"
    min_slope_db_per_octave: float = Field(
        -6.0, ge=-STEEPEST_SLOPE_DB, le=STEEPEST_SLOPE_DB, description="lowest slope of the noise's spectrum"
    )
    max_slope_db_per_octave: float = Field(
        6.0, ge=-STEEPEST_SLOPE_DB, le=STEEPEST_SLOPE_DB, description="highest slope of the noise's spectrum"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' AddColorNoise, its noise band-limited."""
        from audiomentations import AddColorNoise

        low, high = self.snr_range_db(strength)
        return BandLimitedColourNoise(
            AddColorNoise(
                min_snr_db=low,
                max_snr_db=high,
                min_f_decay=self.min_slope_db_per_octave,
                max_f_decay=self.max_slope_db_per_octave,
                p=1.0,
            )
        )


class BandLimitedColourNoise:
    """AddColorNoise with noise that has no power below 50 Hz.

    The library shapes its noise by a filter of 128 points, which treats 0 Hz as 1 Hz: two thirds of the power of
    pink noise are then below 60 Hz, three quarters of that of brown noise. Few microphones and no default
    log-mel pass these frequencies, so that the remaining noise would be up to 6 dB weaker than drawn.

    Args:
        transform: AddColorNoise, which draws level and slope.
    """

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters."""
        self._transform.randomize_parameters(samples, sample_rate)
        drawn = self._transform.parameters
        noise = unit_noise(len(samples), drawn["f_decay"], sample_rate)
        return samples + np.float32(drawn["desired_noise_rms"]) * noise

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        parameters: dict[str, Any] = self._transform.serialize_parameters()
        return parameters


def unit_noise(samples: int, slope_db_per_octave: float, sample_rate_hz: int) -> Waveform:
    """Gaussian noise of unit power and straight slope above 50 Hz, from numpy's global generator.

    Args:
        samples: length L.
        slope_db_per_octave: of the power.
        sample_rate_hz: of the crop.

    Returns:
        (L,) float32.
    """
    spectrum = np.fft.rfft(np.random.normal(size=samples))
    frequencies_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    audible = frequencies_hz >= LOWEST_NOISE_HZ
    octaves = np.log2(frequencies_hz[audible] / LOWEST_NOISE_HZ)
    spectrum[~audible] = 0
    spectrum[audible] *= 10 ** (slope_db_per_octave * octaves / 20)
    noise = np.fft.irfft(spectrum, samples)
    return (noise * (math.sqrt(samples) / np.linalg.norm(noise))).astype(np.float32)
