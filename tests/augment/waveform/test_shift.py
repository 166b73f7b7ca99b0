import math

import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.shift import WaveformShiftConfig
from tests.augment.invalid import assert_invalid

FADE = 80  # samples of 5 ms at 16 kHz


def test_samples_roll_by_exactly_so_many_but_for_the_faded_stitch() -> None:
    for seed in range(10):
        crop = np.arange(1, 10001, dtype=np.float32)
        shifted, drawn = WaveformShiftConfig(max_share=0.4).build(1.0, 16000)(crop, seed)
        places = round(drawn["shift_share"] * 10000)
        assert abs(places) > FADE, seed
        rolled = np.concatenate((crop[-places:], crop[:-places]))
        stitch = places % 10000
        apart = np.abs(np.arange(10000) - stitch + 0.5) > FADE
        assert apart.sum() == 10000 - 2 * FADE, seed
        assert np.array_equal(shifted[apart], rolled[apart]), seed
        # Fades of equal energy reach 1 within one percent.
        assert (shifted[~apart] <= 1.01 * rolled[~apart]).all(), seed
        assert shifted[stitch - 1] == shifted[stitch] == 0, seed


def test_shifts_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    shift = WaveformShiftConfig(max_share=0.2).build(0.5, 16000)
    shares = [shift(crop, seed)[1]["shift_share"] for seed in range(300)]
    assert -0.1 <= min(shares) < -0.097
    assert 0.097 < max(shares) <= 0.1


def test_the_range_ends_at_half_a_crop() -> None:
    shift = WaveformShiftConfig(max_share=0.25).transform(4.0, 16000)
    assert (shift.min_shift, shift.max_shift) == (-0.5, 0.5)


def test_no_range_changes_nothing(crop: Waveform) -> None:
    same, _ = WaveformShiftConfig(max_share=0.0).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(same, crop)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        WaveformShiftConfig,
        ("max_share", -0.1),
        ("max_share", 0.6),
        ("max_share", math.nan),
    )
