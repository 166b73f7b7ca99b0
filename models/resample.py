"""Resampling, the same for the pipeline's clips and for what a user embeds."""

import numpy as np
from numpy.typing import NDArray

# A rate beyond them is that of a damaged header, or a number of samples; resampling from 2 GHz takes minutes.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 2_000_000
# 40 dB above full scale, where no floating-point recording goes: integers as floats, or damage.
HIGHEST_PEAK = 100.0
# soxr's "HQ": 20-bit precision, enough for the 16 bits of a clip.
RESAMPLING_QUALITY = "HQ"


def resample(waveform: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Change the sample rate of one waveform with soxr.

    Args:
        waveform: (L,) float32.
        from_hz: its rate, above 0.
        to_hz: the wanted rate, above 0.

    Returns:
        (about L * to_hz / from_hz,) float32; the input itself where the rates are equal.
    """
    if from_hz == to_hz:
        return waveform
    import soxr  # here, since it is not needed to import the models

    resampled: NDArray[np.float32] = soxr.resample(waveform, from_hz, to_hz, quality=RESAMPLING_QUALITY)
    return resampled
