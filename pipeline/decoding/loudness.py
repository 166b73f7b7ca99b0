"""Integrated loudness of a mono waveform in blocks, by ITU-R BS.1770-4."""

import math

import numpy as np
import soxr
from numpy.typing import NDArray

from echopair.pipeline.decoding.sosfilt import sosfilt

FLOOR_LUFS = -70.0  # the absolute gate
RELATIVE_GATE_LU = -10.0
OFFSET_LU = -0.691
# Of the filters: at lower rates the bilinear transform bends the shelf, and below 3364 Hz it is unstable.
LOWEST_RATE_HZ = 16000
STEPS_PER_GATE = 4  # 400 ms, overlapping by three quarters


def k_weighting(sample_rate_hz: int) -> NDArray[np.float64]:
    """The two filters of BS.1770-4, annex 1, tables 1 and 2, at any rate: (2, 6) second-order sections.

    The standard gives coefficients for 48 kHz only; these are its analogue prototypes (a shelf of 4 dB at
    1682 Hz, a high-pass at 38 Hz) under the bilinear transform at `sample_rate_hz`.
    """
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate_hz), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    middle = 2 * (k * k - 1) / a0
    shelf = [(high + band * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / q + k * k) / a0]
    shelf += [1.0, middle, (1 - k / q + k * k) / a0]
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate_hz), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return np.array([shelf, [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]])


class LoudnessMeter:
    """Measures a waveform block by block; memory grows by 80 bytes per second of sound.

    Args:
        sample_rate_hz: rate of the waveform; one below 16000 is resampled to that.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate_hz < LOWEST_RATE_HZ:
            self._resampler = soxr.ResampleStream(sample_rate_hz, LOWEST_RATE_HZ, 1, dtype="float32")
            sample_rate_hz = LOWEST_RATE_HZ
        self._sections = k_weighting(sample_rate_hz)
        self._state: NDArray[np.float64] = np.zeros((2, 2))
        self._step_samples = round(0.1 * sample_rate_hz)
        self._rest: NDArray[np.float64] = np.zeros(0)
        self._step_energies: list[NDArray[np.float64]] = []

    def add(self, waveform: NDArray[np.float32]) -> None:
        """Add the next samples, float32 of shape (samples,), which may be none."""
        if self._resampler is not None:
            waveform = self._resampler.resample_chunk(waveform)
        self._add(waveform)

    def _add(self, waveform: NDArray[np.float32]) -> None:
        if not waveform.size:  # the resampler holds a short block back
            return
        # In digital silence the filters' state would decay to subnormal numbers, on which processors are ten
        # times slower; an offset at -300 dB prevents that.
        weighted = np.concatenate([self._rest, waveform], dtype=np.float64)
        added = weighted[len(self._rest) :]
        added += 1e-15
        sosfilt(self._sections, added, self._state)
        whole = len(weighted) // self._step_samples * self._step_samples
        steps = weighted[:whole].reshape(-1, self._step_samples)
        self._step_energies.append(np.einsum("ij,ij->i", steps, steps))
        self._rest = weighted[whole:]

    def lufs(self) -> float:
        """Loudness of all added samples in LUFS, -70.0 if nothing exceeds the absolute gate.

        Less than 400 ms count as one gating block. Nothing can be added after it.
        """
        if self._resampler is not None:
            self._add(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        energies = np.concatenate([*self._step_energies, np.zeros(0)])
        if len(energies) >= STEPS_PER_GATE:
            sums = np.convolve(energies, np.ones(STEPS_PER_GATE), mode="valid")
            blocks = sums / (STEPS_PER_GATE * self._step_samples)
        else:
            samples = len(energies) * self._step_samples + len(self._rest)
            blocks = np.array([energies.sum() + np.dot(self._rest, self._rest)]) / max(1, samples)
        above_gate = blocks[blocks > 10 ** ((FLOOR_LUFS - OFFSET_LU) / 10)]
        if not above_gate.size:
            return FLOOR_LUFS
        above_gate = above_gate[above_gate > above_gate.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
        return max(FLOOR_LUFS, OFFSET_LU + 10 * math.log10(above_gate.mean()))
