import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.coloured_noise import ColouredNoiseConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.conftest import MakeCrop

EVERY_SLOPE = (-12.0, -6.0, -3.0, 0.0, 6.0, 12.0)


def at(snr_db: float, slope: float) -> ColouredNoiseConfig:
    return ColouredNoiseConfig(
        min_snr_db=snr_db,
        max_snr_db=snr_db,
        min_slope_db_per_octave=slope,
        max_slope_db_per_octave=slope,
    )


def test_the_noise_has_the_drawn_power(crop: Waveform) -> None:
    for slope in EVERY_SLOPE:
        for strength, snr_db in [(1.0, 10.0), (0.1, 30.0)]:
            noisy, _ = at(10.0, slope).build(strength, 16000)(crop, seed=0)
            ratio = np.square(crop).mean() / np.square(noisy - crop, dtype=np.float64).mean()
            assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01), (slope, strength, snr_db)


def test_the_spectrum_has_the_drawn_slope(make_crop: MakeCrop) -> None:
    for slope in EVERY_SLOPE:
        for rate_hz in [8000, 16000, 48000]:
            crop = make_crop(seconds=20.0, rate_hz=rate_hz)
            noisy, drawn = at(-20.0, slope).build(1.0, rate_hz)(crop, seed=0)
            assert drawn["slope_db_per_octave"] == slope, (slope, rate_hz)
            power = np.square(np.abs(np.fft.rfft((noisy - crop).astype(np.float64))))
            octaves_from_100_hz = [
                power[round(20 * 100 * 2**n) : round(20 * 100 * 2 ** (n + 1))] for n in range(5)
            ]
            levels_db = 10 * np.log10([octave.mean() for octave in octaves_from_100_hz])
            np.testing.assert_allclose(np.diff(levels_db), slope, atol=0.7, err_msg=str((slope, rate_hz)))


def test_nothing_is_added_below_50_hz(make_crop: MakeCrop) -> None:
    crop = make_crop(seconds=2.0)
    noisy, _ = at(-20.0, -12.0).build(1.0, 16000)(crop, seed=0)
    spectrum = np.abs(np.fft.rfft((noisy - crop).astype(np.float64)))
    assert spectrum[:100].max() < 1e-6 * spectrum.max()  # up to 49.5 Hz


def test_slopes_fill_the_range_at_every_strength(crop: Waveform) -> None:
    for strength in (0.5, 4.0):
        augment = ColouredNoiseConfig(min_slope_db_per_octave=-3, max_slope_db_per_octave=1).build(
            strength, 16000
        )
        slopes = [augment(crop, seed)[1]["slope_db_per_octave"] for seed in range(200)]
        assert -3 <= min(slopes) < -2.9
        assert 0.9 < max(slopes) <= 1


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        ColouredNoiseConfig,
        ("min_slope_db_per_octave", -13.0),
        ("max_slope_db_per_octave", 13.0),
        ("max_slope_db_per_octave", math.nan),
        ("min_slope_db_per_octave", 7.0),
        ("min_snr_db", -30.0),
    )
