import math

import pytest

from echopair.augment.waveform.white_noise import WhiteNoiseConfig
from tests.augment.invalid import assert_invalid


def test_the_noises_amplitude_is_proportional_to_the_strength() -> None:
    for strength, factor in [(0.25, 0.25), (0.5, 0.5), (1.0, 1.0), (2.0, 2.0)]:
        low, high = WhiteNoiseConfig(min_snr_db=10.0, max_snr_db=30.0).snr_range_db(strength)
        assert 10 ** ((10 - low) / 20) == pytest.approx(factor), (strength, factor)
        assert 10 ** ((30 - high) / 20) == pytest.approx(factor), (strength, factor)


def test_the_range_ends_at_minus_20_db() -> None:
    assert WhiteNoiseConfig(min_snr_db=-15.0, max_snr_db=-10.0).snr_range_db(4.0) == (-20.0, -20.0)


def test_toward_0_the_noise_fades_without_end() -> None:
    low, _ = WhiteNoiseConfig(min_snr_db=-20.0).snr_range_db(1e-6)
    assert low == pytest.approx(100.0)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        WhiteNoiseConfig,
        ("min_snr_db", -21.0),
        ("min_snr_db", 41.0),
        ("min_snr_db", math.nan),
        ("max_snr_db", 101.0),
        ("max_snr_db", 9.0),
    )
