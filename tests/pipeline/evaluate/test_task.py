"""A task, and the intervals and differences of its metrics."""

import numpy as np

from echopair.pipeline.evaluation.bootstrap import accuracy_interval
from tests.pipeline.evaluate.making import make_task


def task_of_groups() -> tuple[object, np.ndarray]:
    generator = np.random.default_rng(1)
    sources = [f"s{n // 4}" for n in range(160)]
    labels = [f"class {n // 4 % 4}" for n in range(160)]
    task = make_task(labels, sources)
    by_source = generator.random(40) < 0.7
    correct = (by_source[np.arange(160) // 4] ^ (generator.random(160) < 0.1)).astype(float)
    return task, correct


def test_the_interval_of_an_accuracy_is_that_of_the_probe_up_to_the_draws() -> None:
    task, correct = task_of_groups()
    metric = task.mean(task.tested, correct[task.tested], task.tested_fold)
    expected = accuracy_interval(correct[task.tested] > 0, task.tested_fold, task.sources[task.tested])
    assert metric.value == np.mean([correct[fold.test].mean() for fold in task.folds])
    np.testing.assert_allclose(metric.interval, expected, atol=0.02)


def test_a_difference_is_paired_over_sources() -> None:
    task, correct = task_of_groups()
    # Right wherever the other is, and on one more clip of every second source: a small difference, and a clear one.
    better = correct.copy()
    for source in range(0, 40, 2):
        wrong = np.flatnonzero((np.arange(160) // 4 == source) & (correct == 0))
        better[wrong[:1]] = 1
    one, other = (
        task.mean(task.tested, values[task.tested], task.tested_fold) for values in (better, correct)
    )
    gain, interval = task.difference(one, other)
    assert interval[0] > 0
    assert one.interval[0] < other.interval[1]  # unpaired, they overlap
    np.testing.assert_allclose(gain, one.value - other.value)


def test_draws_are_the_same_for_every_encoder_and_no_interval_is_given_of_two_sources() -> None:
    task, _ = task_of_groups()
    again, _ = task_of_groups()
    np.testing.assert_array_equal(task.source_counts, again.source_counts)
    two = make_task(["a", "b"] * 4, ["x", "x", "x", "x", "y", "y", "y", "y"], list("11112222"))
    assert two.mean(two.tested, np.ones(8)).interval is None
