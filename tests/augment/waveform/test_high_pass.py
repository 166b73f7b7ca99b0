import itertools
import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.high_pass import HighPassConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import butterworth_db, measured_gain_db, warped


def fixed(cutoff_hz: float, slope_db_per_octave: int) -> HighPassConfig:
    return HighPassConfig(
        min_cutoff_hz=cutoff_hz,
        max_cutoff_hz=cutoff_hz,
        min_slope_db_per_octave=slope_db_per_octave,
        max_slope_db_per_octave=slope_db_per_octave,
    )


def test_the_response_is_butterworths() -> None:
    for slope, frequency_hz in itertools.product((6, 12, 24), (250, 500, 1000, 2000, 6000)):
        expected = butterworth_db(warped(1000) / warped(frequency_hz), slope)
        assert measured_gain_db(fixed(1000, slope), frequency_hz) == pytest.approx(expected, abs=0.05), (
            slope,
            frequency_hz,
        )


def test_the_cutoff_is_3_db_down_and_an_octave_less_costs_the_slope() -> None:
    config = fixed(1000, 12)
    assert measured_gain_db(config, 1000) == pytest.approx(-3.01, abs=0.02)
    assert measured_gain_db(config, 250) - measured_gain_db(config, 125) == pytest.approx(12, abs=0.1)


def test_cutoffs_rise_from_20_hz() -> None:
    config = HighPassConfig(min_cutoff_hz=80.0, max_cutoff_hz=320.0)
    halfway = config.transform(0.5, 16000)
    assert halfway.min_cutoff_freq == pytest.approx(40)
    assert halfway.max_cutoff_freq == pytest.approx(80)
    as_configured = config.transform(1.0, 16000)
    assert (as_configured.min_cutoff_freq, as_configured.max_cutoff_freq) == (80, 320)
    assert config.transform(2.0, 16000).min_cutoff_freq == pytest.approx(320)


def test_the_range_ends_at_a_quarter_of_the_sample_rate() -> None:
    for rate_hz in [8000, 16000, 48000]:
        high_pass = HighPassConfig().transform(4.0, rate_hz)
        assert high_pass.max_cutoff_freq == rate_hz / 4, rate_hz
        assert high_pass.min_cutoff_freq == pytest.approx(20 * 2.5**4), rate_hz


def test_a_cutoff_of_20_hz_changes_nothing() -> None:
    assert measured_gain_db(fixed(20, 12), 100) == pytest.approx(0, abs=0.01)


def test_cutoffs_fill_their_range_and_the_seed_decides(crop: Waveform) -> None:
    high_pass = HighPassConfig().build(1.0, 16000)
    cutoffs = [high_pass(crop, seed)[1]["cutoff_hz"] for seed in range(200)]
    assert 50 <= min(cutoffs) < 60
    assert 780 < max(cutoffs) <= 800
    assert np.array_equal(high_pass(crop, 1)[0], high_pass(crop, 1)[0])
    assert not np.array_equal(high_pass(crop, 1)[0], high_pass(crop, 2)[0])


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        HighPassConfig,
        ("min_cutoff_hz", 10.0),
        ("min_cutoff_hz", 900.0),
        ("max_cutoff_hz", math.inf),
        ("max_cutoff_hz", math.nan),
        ("max_slope_db_per_octave", 54),
    )
