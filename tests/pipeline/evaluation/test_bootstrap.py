import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from echopair.pipeline.evaluation.bootstrap import (
    accuracy_interval,
    average_precision,
    average_precision_interval,
)


def test_interval_is_the_binomial_one_for_independent_clips() -> None:
    correct = np.arange(400) % 5 != 0  # 80 %
    low, high = accuracy_interval(correct, np.zeros(400, int), np.arange(400), 2000, seed=0)
    assert low == pytest.approx(0.8 - 1.96 * 0.02, abs=0.006)
    assert high == pytest.approx(0.8 + 1.96 * 0.02, abs=0.006)


def test_clips_of_one_source_count_as_one() -> None:
    correct = np.repeat(np.arange(40) % 5 != 0, 10)
    independent = accuracy_interval(correct, np.zeros(400, int), np.arange(400), 1000, seed=0)
    by_source = accuracy_interval(correct, np.zeros(400, int), np.arange(400) // 10, 1000, seed=0)
    assert by_source[1] - by_source[0] > 2.5 * (independent[1] - independent[0])


def test_the_mean_is_over_folds_and_not_over_clips() -> None:
    correct = np.array([True] * 90 + [False] * 10)
    folds = np.array([0] * 90 + [1] * 10)
    assert accuracy_interval(correct, folds, np.arange(100), 200, seed=0) == (0.5, 0.5)


def test_same_seed_same_interval() -> None:
    correct = np.random.default_rng(0).random(50) < 0.7
    arguments = (correct, np.zeros(50, int), np.arange(50), 100)
    assert accuracy_interval(*arguments, seed=1) == accuracy_interval(*arguments, seed=1)


def test_average_precision_is_scikit_learn_s_ties_included() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((200, 5)) < 0.2).astype(np.int8)
    scores = np.round(generator.random((200, 5)) + 0.3 * targets, 1)
    expected = [average_precision_score(targets[:, n], scores[:, n]) for n in range(5)]
    np.testing.assert_allclose(average_precision(scores, targets), expected, rtol=1e-6)


def test_average_precision_of_a_class_without_clips_is_left_out() -> None:
    targets = np.array([[1, 0], [0, 0], [1, 0]], dtype=np.int8)
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]])
    mean, (low, high) = average_precision_interval(scores, targets, np.arange(3), 100, seed=0)
    assert mean == pytest.approx((1 + 2 / 3) / 2)
    assert low <= mean <= high
