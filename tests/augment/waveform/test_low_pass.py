import itertools
import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.low_pass import LowPassConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import butterworth_db, measured_gain_db, warped


def fixed(cutoff_hz: float, slope_db_per_octave: int) -> LowPassConfig:
    return LowPassConfig(
        min_cutoff_hz=cutoff_hz,
        max_cutoff_hz=cutoff_hz,
        min_slope_db_per_octave=slope_db_per_octave,
        max_slope_db_per_octave=slope_db_per_octave,
    )


def test_the_response_is_butterworths() -> None:
    for slope, frequency_hz in itertools.product((6, 12, 24), (100, 1000, 2000, 4000, 6000)):
        expected = butterworth_db(warped(frequency_hz) / warped(1000), slope)
        assert measured_gain_db(fixed(1000, slope), frequency_hz) == pytest.approx(expected, abs=0.05), (
            slope,
            frequency_hz,
        )


def test_the_cutoff_is_3_db_down_and_an_octave_more_costs_the_slope() -> None:
    config = fixed(500, 12)
    assert measured_gain_db(config, 500) == pytest.approx(-3.01, abs=0.02)
    assert measured_gain_db(config, 1000) - measured_gain_db(config, 2000) == pytest.approx(12, abs=0.6)


def test_cutoffs_come_down_from_half_the_sample_rate() -> None:
    config = LowPassConfig(min_cutoff_hz=2000.0, max_cutoff_hz=4000.0)
    halfway = config.transform(0.5, 16000)
    assert halfway.min_cutoff_freq == pytest.approx(4000)
    assert halfway.max_cutoff_freq == pytest.approx(8000 / math.sqrt(2))
    as_configured = config.transform(1.0, 16000)
    assert (as_configured.min_cutoff_freq, as_configured.max_cutoff_freq) == (2000, 4000)
    assert config.transform(2.0, 16000).min_cutoff_freq == pytest.approx(500)


def test_the_range_ends_at_100_hz_and_below_half_the_sample_rate() -> None:
    lowest = LowPassConfig(min_cutoff_hz=500.0).transform(4.0, 16000)
    assert lowest.min_cutoff_freq == 100
    for rate_hz in (8000, 16000, 48000):
        assert LowPassConfig(max_cutoff_hz=1e6).transform(4.0, rate_hz).max_cutoff_freq < rate_hz / 2


def test_a_cutoff_at_half_the_sample_rate_changes_nothing() -> None:
    assert measured_gain_db(fixed(8000, 24), 6000) == pytest.approx(0, abs=0.01)


def test_cutoffs_fill_their_range_and_the_seed_decides(crop: Waveform) -> None:
    low_pass = LowPassConfig().build(1.0, 16000)
    drawn = [low_pass(crop, seed)[1] for seed in range(200)]
    cutoffs = [numbers["cutoff_hz"] for numbers in drawn]
    assert 2000 <= min(cutoffs) < 2100
    assert 7700 < max(cutoffs) < 8000
    assert {numbers["slope_db_per_octave"] for numbers in drawn} == {12, 18, 24}
    assert np.array_equal(low_pass(crop, 1)[0], low_pass(crop, 1)[0])
    assert not np.array_equal(low_pass(crop, 1)[0], low_pass(crop, 2)[0])


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        LowPassConfig,
        ("min_cutoff_hz", 50.0),
        ("min_cutoff_hz", 9000.0),
        ("max_cutoff_hz", math.inf),
        ("max_cutoff_hz", math.nan),
        ("min_slope_db_per_octave", 0),
        ("min_slope_db_per_octave", 30),
        ("max_slope_db_per_octave", 15),
    )
