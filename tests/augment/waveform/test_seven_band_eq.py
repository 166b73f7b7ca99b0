import cmath
import math
from typing import Any

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.seven_band_eq import SevenBandEqConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import RATE, amplitude, sine


def cookbook_gain_db(drawn: dict[str, Any], frequency_hz: float) -> float:
    """The seven bands in a row, each from the audio EQ cookbook of R. Bristow-Johnson."""
    z = cmath.exp(-2j * math.pi * frequency_hz / RATE)
    total = 0.0
    for band in range(1, 8):
        center, gain_db, q = (drawn[f"band_{band}_{key}"] for key in ("center_hz", "gain_db", "q_factor"))
        a = 10 ** (gain_db / 40)
        cosine, alpha = math.cos(2 * math.pi * center / RATE), math.sin(2 * math.pi * center / RATE) / 2 / q
        if band in {1, 7}:
            # The high shelf is the low shelf mirrored: cos -> -cos and z -> -z.
            side = 1 if band == 1 else -1
            cosine, at, slope = side * cosine, side * z, 2 * math.sqrt(a) * alpha
            numerator = a * (
                (a + 1 - (a - 1) * cosine + slope)
                + 2 * (a - 1 - (a + 1) * cosine) * at
                + (a + 1 - (a - 1) * cosine - slope) * at**2
            )
            denominator = (
                (a + 1 + (a - 1) * cosine + slope)
                - 2 * (a - 1 + (a + 1) * cosine) * at
                + (a + 1 + (a - 1) * cosine - slope) * at**2
            )
        else:
            numerator = 1 + alpha * a - 2 * cosine * z + (1 - alpha * a) * z**2
            denominator = 1 + alpha / a - 2 * cosine * z + (1 - alpha / a) * z**2
        total += 20 * math.log10(abs(numerator / denominator))
    return total


def test_the_response_is_that_of_the_drawn_bands() -> None:
    for frequency_hz in [30, 60, 150, 300, 700, 1500, 3000, 6000, 7900]:
        before = sine(frequency_hz)
        after, drawn = SevenBandEqConfig().build(1.0, RATE)(before, seed=11)
        measured = 20 * math.log10(amplitude(after, frequency_hz) / amplitude(before, frequency_hz))
        assert measured == pytest.approx(cookbook_gain_db(drawn, frequency_hz), abs=0.05), frequency_hz


def gains_db(drawn: dict[str, Any]) -> list[float]:
    return [drawn[f"band_{band}_gain_db"] for band in range(1, 8)]


def test_gains_fill_the_range_scaled_by_the_strength_and_bands_differ(crop: Waveform) -> None:
    equalizer = SevenBandEqConfig(max_gain_db=8.0).build(0.5, RATE)
    gains = [gains_db(equalizer(crop, seed)[1]) for seed in range(60)]
    assert -4 <= np.min(gains) < -3.9
    assert 3.9 < np.max(gains) <= 4
    assert all(len(set(one)) == 7 for one in gains)


def test_the_range_ends_at_24_db(crop: Waveform) -> None:
    equalizer = SevenBandEqConfig(max_gain_db=20.0).build(4.0, RATE)
    largest = max(max(map(abs, gains_db(equalizer(crop, seed)[1]))) for seed in range(40))
    assert 23.5 < largest <= 24


def test_no_range_changes_nothing(crop: Waveform) -> None:
    same, _ = SevenBandEqConfig(max_gain_db=0.0).build(1.0, RATE)(crop, seed=0)
    np.testing.assert_allclose(same, crop, atol=1e-6)


def test_at_8_khz_no_band_is_above_half_the_sample_rate_nor_unstable(crop: Waveform) -> None:
    equalizer = SevenBandEqConfig().build(4.0, 8000)
    for seed in range(100):
        louder, drawn = equalizer(crop, seed)
        assert max(drawn[f"band_{band}_center_hz"] for band in range(1, 8)) < 4000
        assert np.abs(louder).max() < np.abs(crop).max() * 10 ** (7 * 24 / 20)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        SevenBandEqConfig,
        ("max_gain_db", -1.0),
        ("max_gain_db", 25.0),
        ("max_gain_db", math.nan),
    )
