import math

import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.time_mask import WaveformTimeMaskConfig
from tests.augment.invalid import assert_invalid

FADE = 80  # samples of 5 ms at 16 kHz


def test_exactly_so_many_samples_are_silenced_within_faded_edges() -> None:
    for seed in range(10):
        ones = np.ones(10000, np.float32)
        masked, drawn = WaveformTimeMaskConfig(min_share=0.25, max_share=0.25).build(1.0, 16000)(ones, seed)
        begin, end = drawn["start_samples"], drawn["start_samples"] + drawn["mask_samples"]
        assert end - begin == 2500, seed
        assert (masked[:begin] == 1).all(), seed
        assert (masked[end:] == 1).all(), seed
        assert np.flatnonzero(masked == 0).tolist() == list(range(begin + FADE - 1, end - FADE + 1)), seed
        assert np.abs(np.diff(masked)).max() < 0.03, seed  # from 1 to 0 within a sample would be a click


def test_shares_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    mask = WaveformTimeMaskConfig(min_share=0.1, max_share=0.2).build(2.0, 16000)
    lengths = [mask(crop, seed)[1]["mask_samples"] for seed in range(300)]
    assert 0.2 * len(crop) <= min(lengths) < 0.205 * len(crop)
    assert 0.395 * len(crop) < max(lengths) <= 0.4 * len(crop)


def test_something_always_stays() -> None:
    ones = np.ones(10000, np.float32)
    masked, drawn = WaveformTimeMaskConfig(min_share=0.9, max_share=0.9).build(4.0, 16000)(ones, seed=0)
    assert drawn["mask_samples"] == 9000
    assert (masked == 1).sum() == 1000 + 2  # the first and last sample of the fades are whole


def test_no_range_changes_nothing(crop: Waveform) -> None:
    same, _ = WaveformTimeMaskConfig(max_share=0.0).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(same, crop)


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        WaveformTimeMaskConfig,
        ("max_share", 0.95),
        ("max_share", -0.1),
        ("max_share", math.nan),
        ("min_share", -0.1),
        ("min_share", 0.3),
    )
