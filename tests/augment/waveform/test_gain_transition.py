import math

import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.gain_transition import GainTransitionConfig
from tests.augment.invalid import assert_invalid


def test_the_gain_is_a_line_in_decibels_between_two_levels() -> None:
    for seed in range(20):
        ones = np.ones(4000, np.float32)
        faded, drawn = GainTransitionConfig(max_gain_db=12.0).build(1.0, 16000)(ones, seed)
        begin, steps = drawn["start_samples"], drawn["fade_time_samples"] - 1
        expected = []
        for sample in range(4000):
            share = min(max((sample - begin) / steps, 0.0), 1.0)
            gain_db = (1 - share) * drawn["start_gain_db"] + share * drawn["end_gain_db"]
            expected.append(10 ** (gain_db / 20))
        np.testing.assert_allclose(faded, expected, rtol=1e-5, err_msg=str(seed))


def test_gains_and_durations_fill_their_ranges(crop: Waveform) -> None:
    config = GainTransitionConfig(max_gain_db=8.0, min_duration_share=0.25, max_duration_share=0.5)
    transition = config.build(0.5, 16000)
    drawn = [transition(crop, seed)[1] for seed in range(300)]
    gains = [numbers[key] for numbers in drawn for key in ("start_gain_db", "end_gain_db")]
    assert -4 <= min(gains) < -3.9
    assert 3.9 < max(gains) <= 4
    lengths = [numbers["fade_time_samples"] for numbers in drawn]
    assert len(crop) / 4 <= min(lengths) < 0.26 * len(crop)
    assert 0.49 * len(crop) < max(lengths) <= len(crop) / 2


def test_the_range_ends_at_60_db() -> None:
    transition = GainTransitionConfig(max_gain_db=40.0).transform(4.0, 16000)
    assert (transition.min_gain_db, transition.max_gain_db) == (-60, 60)


def test_no_range_changes_nothing(crop: Waveform) -> None:
    same, _ = GainTransitionConfig(max_gain_db=0.0).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(same, crop)


def test_invalid_values_are_refused_by_name() -> None:
    assert_invalid(
        GainTransitionConfig,
        ("max_gain_db", -1.0),
        ("max_gain_db", 61.0),
        ("min_duration_share", 0.0),
        ("min_duration_share", 1.5),
        ("max_duration_share", 5.0),
        ("max_duration_share", math.nan),
    )
