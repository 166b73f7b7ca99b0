import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.time_stretch import TimeStretchConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import sine


def fixed(rate: float) -> TimeStretchConfig:
    return TimeStretchConfig(min_rate=rate, max_rate=rate)


def test_the_spacing_of_clicks_is_divided_by_the_rate() -> None:
    for rate, spacing in [(2.0, 2000), (1.25, 3200), (0.8, 5000), (0.5, 8000)]:
        for rate_hz in [8000, 16000]:
            clicks = np.zeros(24000, np.float32)
            clicks[2000::4000] = 0.9
            stretched, _ = fixed(rate).build(1.0, rate_hz)(clicks, seed=0)
            energy = np.convolve(stretched**2, np.ones(400), mode="same")
            first = round(2000 / rate)
            within_crop = range(first, min(24000 - 1000, round(20000 / rate)), spacing)
            assert len(within_crop) >= 2, (rate, spacing, rate_hz)
            for click in within_crop:
                around = energy[click - 900 : click + 900]
                assert around.argmax() == pytest.approx(900, abs=200), (rate, spacing, rate_hz)


def test_a_steady_sine_keeps_pitch_and_about_its_level_to_the_end() -> None:
    for rate in [0.5, 0.8, 1.0, 1.25, 2.0]:
        stretched, _ = fixed(rate).build(1.0, 16000)(sine(1000, 0.96), seed=0)
        spectrum = np.abs(np.fft.rfft(stretched * np.hanning(len(stretched))))
        assert spectrum.argmax() * 16000 / len(stretched) == pytest.approx(1000, abs=2), rate
        levels = [math.sqrt(2) * piece.std() for piece in np.split(stretched, 30)]
        # A reflected sine turns back on its phase: there, and at the start, a dip of up to 3 dB remains.
        assert min(levels) > 0.35, rate
        assert max(levels) < 0.55, rate


def test_what_follows_the_end_is_the_crop_backwards() -> None:
    # A click in the middle of the second half: at twice the rate it comes at 3/8, its reflection at 5/8.
    crop = np.zeros(16000, np.float32)
    crop[12000] = 0.9
    stretched, _ = fixed(2.0).build(1.0, 16000)(crop, seed=0)
    energy = np.convolve(stretched**2, np.ones(400), mode="same")
    assert energy[:8000].argmax() == pytest.approx(6000, abs=200)
    assert 8000 + energy[8000:].argmax() == pytest.approx(10000, abs=200)


def test_rates_fill_the_range_and_the_seed_decides(crop: Waveform) -> None:
    stretch = TimeStretchConfig().build(1.0, 16000)
    short = crop[:1600]
    rates = [stretch(short, seed)[1]["rate"] for seed in range(200)]
    assert 0.8 <= min(rates) < 0.81
    assert 1.24 < max(rates) <= 1.25
    assert np.array_equal(stretch(crop, 1)[0], stretch(crop, 1)[0])
    assert not np.array_equal(stretch(crop, 1)[0], stretch(crop, 2)[0])


def test_the_strength_is_the_exponent_of_a_rate_which_ends_at_half_and_twice_the_speed(
    crop: Waveform,
) -> None:
    for rate, strength, expected in ((0.8, 2.0, 0.64), (1.44, 0.5, 1.2), (0.8, 4.0, 0.5), (1.25, 4.0, 2.0)):
        assert fixed(rate).build(strength, 16000)(crop, seed=0)[1]["rate"] == pytest.approx(expected)


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        TimeStretchConfig,
        ("min_rate", 0.4),
        ("min_rate", 1.5),
        ("max_rate", 2.1),
        ("max_rate", 0.7),
        ("max_rate", math.nan),
    )
