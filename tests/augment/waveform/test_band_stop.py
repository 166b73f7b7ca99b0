import itertools
import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.band_stop import BandStopConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import butterworth_db, measured_gain_db, warped


def fixed(center_hz: float, bandwidth_share: float, slope_db_per_octave: int = 12) -> BandStopConfig:
    return BandStopConfig(
        min_center_hz=center_hz,
        max_center_hz=center_hz,
        min_bandwidth_share=bandwidth_share,
        max_bandwidth_share=bandwidth_share,
        min_slope_db_per_octave=slope_db_per_octave,
        max_slope_db_per_octave=slope_db_per_octave,
    )


def test_the_response_is_butterworths() -> None:
    for slope, frequency_hz in itertools.product((6, 12, 24), (100, 400, 700, 1200, 1500, 4000)):
        low, high, at = warped(500), warped(1500), warped(frequency_hz)
        expected = butterworth_db(at * (high - low) / abs(at**2 - low * high), slope)
        assert measured_gain_db(fixed(1000, 1.0, slope), frequency_hz) == pytest.approx(expected, abs=0.1), (
            slope,
            frequency_hz,
        )


def test_the_centre_is_removed_and_both_edges_are_3_db_down() -> None:
    config = fixed(1000, 0.8)
    assert measured_gain_db(config, 1000) < -28
    assert measured_gain_db(config, 600) == pytest.approx(-3.01, abs=0.02)
    assert measured_gain_db(config, 1400) == pytest.approx(-3.01, abs=0.02)


def test_the_width_is_proportional_to_the_strength() -> None:
    for strength, edge_hz in ((0.5, 1200), (1.0, 1400), (2.0, 1800)):
        assert measured_gain_db(fixed(1000, 0.8), edge_hz, strength) == pytest.approx(-3.01, abs=0.02)


def test_the_width_ends_at_1_9_of_the_centre(crop: Waveform) -> None:
    _, drawn = fixed(1000, 0.8).build(4.0, 16000)(crop, seed=0)
    assert drawn["width_hz"] == pytest.approx(1900)


def test_edges_stay_in_order_below_half_the_sample_rate(crop: Waveform) -> None:
    bands = [(4000, 8000), (20000, 8000), (4000, 12000), (16000, 48000)]
    for (center_hz, rate_hz), strength in itertools.product(bands, (1e-6, 1.0, 4.0)):
        # 4 kHz and a width of 1.0 have their upper edge at half of 12 kHz exactly.
        _, drawn = fixed(center_hz, 1.0).build(strength, rate_hz)(crop, seed=0)
        assert drawn["width_hz"] > 0, (center_hz, rate_hz, strength)
        assert drawn["center_hz"] - drawn["width_hz"] / 2 > 0, (center_hz, rate_hz, strength)
        assert drawn["center_hz"] + drawn["width_hz"] / 2 < rate_hz / 2, (center_hz, rate_hz, strength)


def test_centres_and_widths_fill_their_ranges_and_the_seed_decides(crop: Waveform) -> None:
    band_stop = BandStopConfig().build(1.0, 16000)
    drawn = [band_stop(crop, seed)[1] for seed in range(200)]
    centers = [numbers["center_hz"] for numbers in drawn]
    shares = [numbers["width_hz"] / numbers["center_hz"] for numbers in drawn]
    assert 200 <= min(centers) < 230
    assert 3900 < max(centers) <= 4000
    assert 0.2 <= min(shares) < 0.21
    assert 0.78 < max(shares) < 0.8
    assert np.array_equal(band_stop(crop, 1)[0], band_stop(crop, 1)[0])
    assert not np.array_equal(band_stop(crop, 1)[0], band_stop(crop, 2)[0])


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        BandStopConfig,
        ("min_center_hz", 10.0),
        ("min_center_hz", 5000.0),
        ("max_center_hz", math.inf),
        ("min_bandwidth_share", 0.0),
        ("min_bandwidth_share", 0.9),
        ("max_bandwidth_share", 2.0),
        ("max_bandwidth_share", math.nan),
    )
