import math

import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.gain import WaveformGainConfig
from tests.augment.invalid import assert_invalid


def test_every_sample_is_multiplied_by_the_drawn_gain(crop: Waveform) -> None:
    louder, drawn = WaveformGainConfig(max_gain_db=20.0).build(1.0, 16000)(crop, seed=3)
    np.testing.assert_allclose(louder, crop * drawn["amplitude_ratio"], rtol=1e-6)
    assert drawn["amplitude_ratio"] != 1


def test_gains_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    gain = WaveformGainConfig(max_gain_db=8.0).build(0.5, 16000)
    gains_db = [20 * math.log10(gain(crop, seed)[1]["amplitude_ratio"]) for seed in range(400)]
    assert -4 <= min(gains_db) < -3.9
    assert 3.9 < max(gains_db) <= 4


def test_the_range_ends_at_60_db() -> None:
    gain = WaveformGainConfig(max_gain_db=40.0).transform(4.0, 16000)
    assert (gain.min_gain_db, gain.max_gain_db) == (-60, 60)


def test_no_range_changes_nothing(crop: Waveform) -> None:
    same, _ = WaveformGainConfig(max_gain_db=0.0).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(same, crop)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        WaveformGainConfig,
        ("max_gain_db", -1.0),
        ("max_gain_db", 61.0),
        ("max_gain_db", math.nan),
    )
