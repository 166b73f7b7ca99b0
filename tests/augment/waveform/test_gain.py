import math

import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.gain import WaveformGainConfig


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


def test_the_seed_decides(crop: Waveform) -> None:
    gain = WaveformGainConfig().build(1.0, 16000)
    assert np.array_equal(gain(crop, 1)[0], gain(crop, 1)[0])
    assert not np.array_equal(gain(crop, 1)[0], gain(crop, 2)[0])


@pytest.mark.parametrize("max_gain_db", [-1.0, 61.0, math.nan])
def test_an_invalid_range_is_refused_by_name(max_gain_db: float) -> None:
    with pytest.raises(ValidationError, match="max_gain_db"):
        WaveformGainConfig(max_gain_db=max_gain_db)
