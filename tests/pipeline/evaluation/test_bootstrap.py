import numpy as np
import pytest
from scipy.stats import binomtest, t
from sklearn.metrics import average_precision_score

from echopair.pipeline.evaluation.bootstrap import (
    accuracy_interval,
    average_precision,
    average_precision_interval,
)


def test_interval_is_the_binomial_one_for_independent_clips() -> None:
    correct = np.arange(400) % 5 != 0  # 80 %
    interval = accuracy_interval(correct, np.zeros(400, int), np.arange(400))
    assert interval == pytest.approx(binomtest(320, 400).proportion_ci(), abs=0.001)


def test_clips_of_one_source_count_as_one() -> None:
    correct = np.repeat(np.arange(40) % 5 != 0, 10)
    interval = accuracy_interval(correct, np.zeros(400, int), np.arange(400) // 10)
    assert interval == pytest.approx(binomtest(32, 40).proportion_ci(), abs=0.02)


def test_folds_of_one_source_have_an_interval() -> None:
    correct = np.concatenate([np.arange(20) < right for right in (10, 12, 14, 16, 18)])
    folds = np.arange(100) // 20
    interval = accuracy_interval(correct, folds, folds)
    half = t.ppf(0.975, 4) * np.std([0.5, 0.6, 0.7, 0.8, 0.9], ddof=1) / 5**0.5
    assert interval == pytest.approx((0.7 - half, 0.7 + half), abs=0.1)
    assert accuracy_interval(correct, folds, folds // 3) is None  # two sources


def test_the_mean_is_over_folds_and_not_over_clips() -> None:
    correct = np.array([True] * 90 + [False] * 10)
    folds = np.array([0] * 90 + [1] * 10)
    interval = accuracy_interval(correct, folds, np.arange(100))
    assert interval is not None
    assert sum(interval) == pytest.approx(1)


def test_all_right_is_not_certain() -> None:
    few, many = (accuracy_interval(np.ones(60, bool), np.zeros(60, int), np.arange(60) // n) for n in (12, 1))
    assert few is not None
    assert many is not None
    assert few[0] < 0.5
    assert 0.9 < many[0] < 1
    assert few[1] == many[1] == 1


def test_interval_of_average_precision_needs_sources_too() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((60, 3)) < 0.4).astype(np.int8)
    scores = generator.random((60, 3)) + 0.5 * targets
    mean, interval = average_precision_interval(scores, targets, np.arange(60) // 6, 100, seed=1)
    assert interval is not None
    assert interval[0] < mean < interval[1]
    assert interval == average_precision_interval(scores, targets, np.arange(60) // 6, 100, seed=1)[1]
    assert average_precision_interval(scores, targets, np.arange(60) // 30, 100, seed=1) == (mean, None)


def test_average_precision_is_scikit_learn_s_ties_included() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((200, 5)) < 0.2).astype(np.int8)
    scores = np.round(generator.random((200, 5)) + 0.3 * targets, 1)
    expected = [average_precision_score(targets[:, n], scores[:, n]) for n in range(5)]
    np.testing.assert_allclose(average_precision(scores, targets), expected, rtol=1e-6)


def test_average_precision_of_a_class_without_clips_is_left_out() -> None:
    targets = np.array([[1, 0], [0, 0], [1, 0]], dtype=np.int8)
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]])
    mean, _ = average_precision_interval(scores, targets, np.arange(3), 100, seed=0)
    assert mean == pytest.approx((1 + 2 / 3) / 2)
