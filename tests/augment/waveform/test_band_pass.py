import itertools
import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.band_pass import BandPassConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import butterworth_db, measured_gain_db, warped


def fixed(center_hz: float, bandwidth_share: float, slope_db_per_octave: int = 12) -> BandPassConfig:
    return BandPassConfig(
        min_center_hz=center_hz,
        max_center_hz=center_hz,
        min_bandwidth_share=bandwidth_share,
        max_bandwidth_share=bandwidth_share,
        min_slope_db_per_octave=slope_db_per_octave,
        max_slope_db_per_octave=slope_db_per_octave,
    )


def test_the_response_is_butterworths() -> None:
    for slope, frequency_hz in itertools.product((6, 12, 24), (250, 500, 1000, 1500, 3000)):
        low, high, at = warped(500), warped(1500), warped(frequency_hz)
        expected = butterworth_db(abs(at**2 - low * high) / (at * (high - low)), slope)
        assert measured_gain_db(fixed(1000, 1.0, slope), frequency_hz) == pytest.approx(expected, abs=0.1), (
            slope,
            frequency_hz,
        )


def test_both_edges_are_3_db_down() -> None:
    config = fixed(2000, 1.5)
    assert measured_gain_db(config, 500) == pytest.approx(-3.01, abs=0.02)
    assert measured_gain_db(config, 3500) == pytest.approx(-3.01, abs=0.02)


def test_at_half_the_strength_the_edges_are_halfway_from_the_ends_of_the_spectrum() -> None:
    config = fixed(1000, 1.0)
    # sqrt(20 Hz * 500 Hz) = 100 Hz and sqrt(8000 Hz * 1500 Hz) = 3464 Hz
    assert measured_gain_db(config, 100, strength=0.5) == pytest.approx(-3.01, abs=0.05)
    assert measured_gain_db(config, 3464, strength=0.5) == pytest.approx(-3.01, abs=0.05)


def edges(config: BandPassConfig, strength: float, rate_hz: int, crop: Waveform) -> tuple[float, float]:
    _, drawn = config.build(strength, rate_hz)(crop, seed=0)
    return drawn["center_hz"] - drawn["width_hz"] / 2, drawn["center_hz"] + drawn["width_hz"] / 2


def test_the_band_narrows_with_the_strength_to_half_its_centre(crop: Waveform) -> None:
    config = fixed(1000, 1.6)
    widths = [high - low for low, high in (edges(config, s, 16000, crop) for s in (0.01, 0.5, 1, 1.5, 4))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(8000, rel=0.03)
    assert widths[2] == pytest.approx(1600)
    assert edges(config, 4.0, 16000, crop) == pytest.approx((750, 1250))


def test_edges_stay_in_order_below_half_the_sample_rate(crop: Waveform) -> None:
    bands = [(4000, 8000), (20000, 8000), (4000, 12000), (16000, 48000)]
    for (center_hz, rate_hz), strength in itertools.product(bands, (0.1, 1.0, 4.0)):
        low, high = edges(fixed(center_hz, 1.0), strength, rate_hz, crop)
        assert 20 <= low < high < rate_hz / 2, (center_hz, rate_hz, strength)


def test_centres_and_widths_fill_their_ranges_and_the_seed_decides(crop: Waveform) -> None:
    band_pass = BandPassConfig().build(1.0, 16000)
    drawn = [band_pass(crop, seed)[1] for seed in range(200)]
    centers = [numbers["center_hz"] for numbers in drawn]
    shares = [numbers["width_hz"] / numbers["center_hz"] for numbers in drawn]
    assert 1000 <= min(centers) < 1050
    assert 3900 < max(centers) <= 4000
    assert 1.4 <= min(shares) < 1.41
    assert 1.79 < max(shares) < 1.81
    assert np.array_equal(band_pass(crop, 1)[0], band_pass(crop, 1)[0])
    assert not np.array_equal(band_pass(crop, 1)[0], band_pass(crop, 2)[0])


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        BandPassConfig,
        ("min_center_hz", 50.0),
        ("min_center_hz", 5000.0),
        ("max_center_hz", math.inf),
        ("min_bandwidth_share", 0.4),
        ("max_bandwidth_share", 2.0),
        ("max_bandwidth_share", 1.0),
        ("max_bandwidth_share", math.nan),
    )
