import math

import numpy as np
import pytest

from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.plateau import plateau
from tests.tuning.report.sweeps import ENCODER, SEED, STRENGTH, TEMPERATURE, along, trial

GRID = Parameter("crops.views", values=(2, 3, 4, 6, 8))


def test_a_plateau_of_a_parabola_is_where_it_lies_within_one_point() -> None:
    # 0.7 - 0.04 x² is within 0.01 of its top for |x| <= 0.5; one trial at every 0.1 of the logarithm.
    places = [0.1 * math.exp(0.1 * n) for n in range(-12, 13)]
    found = plateau(
        along(TEMPERATURE, places, [0.7 - 0.04 * (0.1 * n) ** 2 for n in range(-12, 13)]), TEMPERATURE
    )
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.1 * math.exp(-0.5), 0.1 * math.exp(0.5)))
    assert found.width == pytest.approx(math.e)  # a factor, on a logarithmic axis
    assert found.share == pytest.approx(1 / math.log(1.0 / 0.02))
    assert (found.best_value, found.best_score) == pytest.approx((0.1, 0.7))
    assert (found.trials, found.trials_there) == (11, 11)


def test_exactly_one_point_below_the_best_is_within_one_point() -> None:
    found = plateau(along(STRENGTH, [1.0, 1.2, 1.4], [0.71, 0.70, 0.6999]), STRENGTH)
    assert found is not None
    assert found.values == (1.0, 1.2)
    assert found.width == pytest.approx(0.2)  # a difference


@pytest.mark.parametrize(("apart", "values"), [(0.3, (1.0, 1.15, 1.3)), (0.8, (1.0,))])
def test_a_lower_trial_ends_the_plateau_of_a_range_where_it_stands_in_a_wide_gap(
    apart: float, values: tuple[float, ...]
) -> None:
    # An eighth of the range of strength is 0.375.
    trials = along(STRENGTH, [1.0, 1.0 + apart / 2, 1.0 + apart], [0.70, 0.60, 0.695])
    found = plateau(trials, STRENGTH)
    assert found is not None
    assert found.values == tuple(value for value in values if value != 1.15)
    assert (found.trials, found.trials_there) == ((2, 3) if apart == 0.3 else (1, 1))


def test_two_peaks_are_not_one_plateau() -> None:
    places = np.linspace(0, 3, 31)
    scores = 0.7 - 0.2 * np.minimum(abs(places - 0.5), abs(places - 2.5) + 0.01)
    found = plateau(along(STRENGTH, places.tolist(), scores.tolist()), STRENGTH)
    assert found is not None
    assert found.high is not None
    assert found.high < 0.6


def test_of_finitely_many_numbers_neighbours_belong_together() -> None:
    found = plateau(along(GRID, [2, 3, 4, 6, 8], [0.695, 0.70, 0.694, 0.60, 0.699]), GRID)
    assert found is not None
    assert found.values == (2, 3, 4)  # and not 8, beyond 6
    assert found.share == 3 / 5


def test_a_value_is_judged_by_the_best_trial_that_had_it() -> None:
    found = plateau(along(GRID, [2, 2, 3, 3, 8], [0.60, 0.70, 0.695, 0.50, 0.55]), GRID)
    assert found is not None
    assert found.values == (2, 3)
    assert (found.trials, found.trials_there) == (2, 4)


def test_words_have_no_order() -> None:
    names = ["resnet", "vgg_like", "crnn", "resnet"]
    found = plateau(along(ENCODER, names, [0.70, 0.65, 0.695, 0.5]), ENCODER)
    assert found is not None
    assert found.values == ("resnet", "crnn")
    assert (found.low, found.high, found.width) == (None, None, None)
    assert (found.trials, found.trials_there) == (2, 3)


def test_only_finished_trials_count() -> None:
    others = [
        trial(1, {"augment.strength": 1.1}, status="stopped", readings=2),
        trial(2, {"augment.strength": 1.2}, 0.0, status="diverged"),
        trial(3, {"augment.strength": 1.3}, status="failed"),
        trial(4, {"augment.strength": 1.4}, math.nan),
    ]
    assert plateau(others, STRENGTH) is None
    found = plateau([trial(0, {"augment.strength": 1.0}, 0.5), *others], STRENGTH)
    assert found is not None
    assert (found.values, found.trials_there) == ((1.0,), 1)


def test_a_seed_has_no_plateau() -> None:
    assert plateau(along(SEED, [0, 1, 2], [0.7, 0.7, 0.7]), SEED) is None


def test_all_scores_equal_are_one_plateau() -> None:
    found = plateau(along(STRENGTH, [0.0, 1.0, 3.0], [0.5] * 3), STRENGTH)
    assert found is not None
    assert (found.low, found.high, found.share, found.trials) == (0.0, 3.0, 1.0, 3)
