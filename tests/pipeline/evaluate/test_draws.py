"""Draws of sources, and the metrics that are means over draws."""

import numpy as np

from echopair.pipeline.evaluate.draws import by_draw, mean_over_draws, shuffled_sources
from tests.pipeline.evaluate.making import make_task


def test_a_source_of_two_classes_is_a_source_of_each() -> None:
    task = make_task(["a", "b", "a", "b", "a", "b"], ["x", "x", "x", "y", "z", "z"], list("112212"))
    order = shuffled_sources(task, np.array([0, 1, 2, 3, 4]), np.random.default_rng(0))
    found = {one: sorted(clips.tolist() for clips in sources) for one, sources in order.items()}
    assert found == {0: [[0, 2], [4]], 1: [[1], [3]]}


def test_draws_that_agree_give_the_interval_of_one_draw() -> None:
    task = make_task(["a", "b"] * 40)
    correct = (np.random.default_rng(0).random(80) < 0.7).astype(float)
    one = task.mean(task.tested, correct, task.tested_fold)
    several = mean_over_draws(task, np.repeat(correct[:, None], 4, axis=1))
    assert several.value == one.value
    np.testing.assert_allclose(several.resamples, one.resamples)


def test_the_variation_between_draws_is_in_the_interval() -> None:
    """Where all clips agree and draws differ, the variance is that between draws divided by their number."""
    task = make_task(["a", "b"] * 40)
    of_draw = np.random.default_rng(0).random(10)
    metric = mean_over_draws(task, np.tile(of_draw, (80, 1)))
    np.testing.assert_allclose(metric.value, of_draw.mean())
    np.testing.assert_allclose(metric.resamples.var(), of_draw.var() / 10, rtol=0.1)


def test_resamples_equal_a_slow_reference() -> None:
    task = make_task(["a", "b"] * 20, [f"s{n // 3}" for n in range(40)])
    values = np.random.default_rng(0).random((40, 3))
    metric = mean_over_draws(task, values)
    shares = np.random.default_rng([task.seed, 1, 6]).multinomial(3, np.full(3, 1 / 3), size=1000) / 3
    for r in range(5):
        weights = task.source_counts[r][task.sources[task.tested]]
        of_folds = [
            np.average(values[of_fold] @ shares[r], weights=weights[of_fold])
            for fold in range(5)
            if weights[of_fold := task.tested_fold == fold].any()
        ]
        np.testing.assert_allclose(metric.resamples[r], np.mean(of_folds))


def test_fits_are_put_together_by_draw() -> None:
    # Two draws of two folds with two and one test clips, one training each.
    fits = [np.array([[True], [False]]), np.array([[True]]), np.array([[False], [False]]), np.array([[True]])]
    np.testing.assert_array_equal(by_draw(fits, 2), [[[1, 0]], [[0, 0]], [[1, 1]]])
