"""Coloured noise: rumble, wind, rain or hiss over the crop."""

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
    """Noise 10 to 40 dB below the crop whose power rises or falls by so many decibels an octave.

    -6 is brown (distant thunder), -3 pink (rain), 0 white, +6 violet (an electronic hiss); the strength moves
    the ratio alone. The range is that of audiomentations.
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

    The library shapes its noise by a filter of 128 points, in which 0 Hz stands for 1 Hz: of pink noise two
    thirds of the power then lie below 60 Hz, of brown noise three quarters. Few microphones and no default
    log-mel pass them, so that the noise that is left would be up to 6 dB weaker than drawn.

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
        """What was drawn last."""
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
    heard = frequencies_hz >= LOWEST_NOISE_HZ
    octaves = np.log2(frequencies_hz[heard] / LOWEST_NOISE_HZ)
    spectrum[~heard] = 0
    spectrum[heard] *= 10 ** (slope_db_per_octave * octaves / 20)
    noise = np.fft.irfft(spectrum, samples)
    return (noise * (math.sqrt(samples) / np.linalg.norm(noise))).astype(np.float32)
