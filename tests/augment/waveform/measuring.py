"""Measurements of sines before and after an augmentation."""

import numpy as np

from echopair.augment.waveform.augmentation import Waveform, WaveformConfig

RATE = 16000


def sine(frequency_hz: float, seconds: float = 2.0, rate_hz: int = RATE) -> Waveform:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def amplitude(waveform: Waveform, frequency_hz: float, rate_hz: int = RATE) -> float:
    """Amplitude of one frequency over the second half, a whole number of periods."""
    half = waveform[len(waveform) // 2 :].astype(np.float64)
    turning = np.exp(-2j * np.pi * frequency_hz * np.arange(len(half)) / rate_hz)
    return float(abs(np.mean(half * turning)) * 2)


def measured_gain_db(config: WaveformConfig, frequency_hz: float, strength: float = 1.0) -> float:
    """Gain in dB of a sine of a whole number of Hz, at 16 kHz."""
    before = sine(frequency_hz)
    after, _ = config.build(strength, RATE)(before, seed=5)
    return 20 * np.log10(amplitude(after, frequency_hz) / amplitude(before, frequency_hz))


def warped(frequency_hz: float, rate_hz: int = RATE) -> float:
    """The frequency of the analogue filter that the bilinear transform brings to this one."""
    return float(np.tan(np.pi * frequency_hz / rate_hz))


def butterworth_db(ratio: float, slope_db_per_octave: int) -> float:
    """Gain of a Butterworth filter where its low-pass prototype is at `ratio` times its cutoff."""
    return float(-10 * np.log10(1 + ratio ** (2 * slope_db_per_octave // 6)))
