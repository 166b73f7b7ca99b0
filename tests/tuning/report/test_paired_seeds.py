"""Settings over seeds: paired differences."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from echopair.tuning.report.paired_seeds import paired_difference, settings_table
from echopair.tuning.trials import Status, Trial
from tests.tuning.report.sweeps import trial

KEYS = ["augment.strength", "seed"]
# Seeds differ by tenths, settings by a hundredth.
SCORES = {0.5: [0.50, 0.61, 0.72, 0.83], 1.0: [0.52, 0.62, 0.74, 0.84]}


def sweep() -> list[Trial]:
    values = [(strength, seed) for strength in SCORES for seed in range(4)]
    return [
        trial(number, {"augment.strength": strength, "seed": seed}, SCORES[strength][seed])
        for number, (strength, seed) in enumerate(values)
    ]


def test_a_difference_smaller_than_that_of_seeds_is_seen() -> None:
    table = settings_table(sweep(), KEYS)
    assert table is not None
    assert table.rows == [["1", "68.0 %", "4", "+1.5 ± 0.9"], ["0.5", "66.5 %", "4", "reference"]]


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    one, other = ({str(seed): score for seed, score in enumerate(scores)} for scores in SCORES.values())
    found = paired_difference(other, one)
    assert found is not None
    interval = ttest_rel(SCORES[1.0], SCORES[0.5]).confidence_interval()
    np.testing.assert_allclose([found[0] - found[1], found[0] + found[1]], interval)


def test_trials_without_a_partner_are_left_out() -> None:
    lost = [trial(8, {"augment.strength": 1.5, "seed": 0}, 0.9)]
    failed = [trial(9, {"augment.strength": 1.5, "seed": 1}, status=Status.FAILED)]
    table = settings_table([*sweep(), *lost, *failed], KEYS)
    assert table is not None
    assert [row[0] for row in table.rows] == ["1", "0.5"]
    assert settings_table(sweep()[:4], KEYS) is None


@pytest.mark.parametrize("shared", [0, 1])
def test_no_difference_is_given_of_fewer_than_two_seeds_in_common(shared: int) -> None:
    one = {str(seed): 0.5 for seed in range(3)}
    other = {str(seed): 0.6 for seed in range(3 - shared, 6 - shared)}
    assert paired_difference(one, other) is None
