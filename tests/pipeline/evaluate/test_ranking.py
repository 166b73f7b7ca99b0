"""ROC curves under weights against scikit-learn, with ties."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from echopair.pipeline.evaluate.ranking import (
    area,
    coarsened,
    equal_error_rate,
    false_rate_at,
    rank,
    rates,
)


def on_curve(false: np.ndarray, true: np.ndarray, level: float) -> float:
    """The smallest false rate at a true rate, on the straight lines between thresholds."""
    after = int(np.flatnonzero(true >= level - 1e-12)[0])
    low, high = true[after - 1], true[after]
    return float(false[after - 1] + (level - low) / (high - low) * (false[after] - false[after - 1]))


@pytest.mark.parametrize("distinct", [3, 20, 10_000])
def test_summaries_are_those_of_scikit_learn_under_weights(distinct: int) -> None:
    generator = np.random.default_rng(distinct)
    positive = generator.random(300) < 0.3
    scores = np.round((generator.random(300) + 0.3 * positive) * distinct) / distinct
    weights = generator.integers(0, 4, (5, 300)).astype(np.float32)
    weights[0] = 1
    ranking = rank(scores, positive)
    curves = rates(ranking, weights[:, ranking.order])
    for n, row in enumerate(weights):
        false, true, _ = roc_curve(positive, scores, sample_weight=row, drop_intermediate=False)
        np.testing.assert_allclose(area(curves)[n], roc_auc_score(positive, scores, sample_weight=row))
        # Where both errors are equal, by halving the distance along the curve.
        places = np.linspace(0, 1, 200_001)
        along = np.arange(len(false)) / (len(false) - 1)
        fine_false, fine_true = np.interp(places, along, false), np.interp(places, along, true)
        equal = np.abs(fine_false - (1 - fine_true)).argmin()
        np.testing.assert_allclose(equal_error_rate(curves)[n], fine_false[equal], atol=1e-3)
        np.testing.assert_allclose(false_rate_at(curves, 0.95)[n], on_curve(false, true, 0.95))


def test_of_equal_scores_all_is_chance() -> None:
    ranking = rank(np.full(10, 0.5) + 1e-9 * np.arange(10), np.arange(10) < 3)
    curves = rates(ranking, np.ones((1, 10)))
    assert [area(curves)[0], equal_error_rate(curves)[0]] == [0.5, 0.5]
    assert false_rate_at(curves, 0.95)[0] == pytest.approx(0.95)


def test_the_smallest_false_rate_where_many_thresholds_have_the_true_rate() -> None:
    # 19 of 20 positives, then negatives, then the last positive.
    positive = np.array([True] * 19 + [False] * 10 + [True])
    ranking = rank(-np.arange(30.0), positive)
    assert false_rate_at(rates(ranking, np.ones((1, 30))), 0.95)[0] == pytest.approx(0, abs=1e-9)


def test_weights_that_leave_no_positive_or_no_negative_give_no_figure() -> None:
    positive = np.array([True, False, True, False])
    ranking = rank(np.arange(4.0), positive)
    weights = np.stack([ranking.positive, ~ranking.positive, np.zeros(4)]).astype(float)
    curves = rates(ranking, weights)
    for figure in (area(curves), equal_error_rate(curves), false_rate_at(curves, 0.95)):
        assert np.isnan(figure).all()


def test_a_coarser_ranking_has_the_same_figures_nearly() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(50_000) < 0.1
    ranking = rank(generator.normal(size=50_000) + positive, positive)
    weights = generator.integers(0, 3, (3, 50_000)).astype(float)
    coarse = coarsened(ranking, 1024)
    assert len(coarse.ends) == 1024
    for figure in (area, equal_error_rate):
        exact, near = (figure(rates(one, weights)) for one in (ranking, coarse))
        np.testing.assert_allclose(near, exact, atol=3e-4)
