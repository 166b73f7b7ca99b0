import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.pitch_shift import PitchShiftConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import sine


def fixed(semitones: float) -> PitchShiftConfig:
    return PitchShiftConfig(min_semitones=semitones, max_semitones=semitones)


def test_a_sine_of_440_hz_moves_by_so_many_semitones() -> None:
    for semitones, peak_hz in [(12, 880), (-12, 220), (7, 659), (24, 1760), (-24, 110)]:
        for rate_hz in [8000, 16000, 48000]:
            shifted, _ = fixed(semitones).build(1.0, rate_hz)(sine(440, 1.0, rate_hz), seed=0)
            spectrum = np.abs(np.fft.rfft(shifted * np.hanning(len(shifted))))  # bins of 1 Hz
            assert spectrum.argmax() == pytest.approx(peak_hz, abs=2), (semitones, peak_hz, rate_hz)


def test_the_tempo_is_kept() -> None:
    clicks = np.zeros(16000, np.float32)
    clicks[4000::4000] = 0.9
    shifted, _ = fixed(3).build(1.0, 16000)(clicks, seed=0)
    energy = np.convolve(shifted**2, np.ones(400), mode="same")
    for click in (4000, 8000, 12000):
        around = energy[click - 1500 : click + 1500]
        assert around.argmax() == pytest.approx(1500, abs=200)


def test_a_steady_sine_keeps_its_level_to_the_end() -> None:
    for semitones in [-12, -1, 3]:
        shifted, _ = fixed(semitones).build(1.0, 16000)(sine(1000, 0.96), seed=0)
        levels = [math.sqrt(2) * piece.std() for piece in np.split(shifted, 30)]
        assert min(levels) > 0.42, semitones
        assert max(levels) < 0.55, semitones


def test_shifts_fill_the_range_scaled_by_the_strength_and_the_seed_decides(crop: Waveform) -> None:
    pitch_shift = PitchShiftConfig(min_semitones=-2, max_semitones=6).build(0.5, 16000)
    short = crop[:1600]
    shifts = [pitch_shift(short, seed)[1]["semitones"] for seed in range(200)]
    assert -1 <= min(shifts) < -0.95
    assert 2.95 < max(shifts) <= 3
    assert np.array_equal(pitch_shift(crop, 1)[0], pitch_shift(crop, 1)[0])
    assert not np.array_equal(pitch_shift(crop, 1)[0], pitch_shift(crop, 2)[0])


def test_the_range_ends_at_two_octaves(crop: Waveform) -> None:
    for semitones in [-8.0, 8.0]:
        _, drawn = fixed(semitones).build(4.0, 16000)(crop, seed=0)
        assert drawn["semitones"] == 3 * semitones, semitones


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        PitchShiftConfig,
        ("min_semitones", -25.0),
        ("min_semitones", 3.0),
        ("max_semitones", 25.0),
        ("max_semitones", -3.0),
        ("max_semitones", math.nan),
    )
