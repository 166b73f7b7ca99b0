"""Pairs and trials: of different sources always, of each class as many, the same at each call."""

from dataclasses import replace

import numpy as np
import pytest

from echopair.pipeline.evaluate.clip_draws import ClipDraws
from echopair.pipeline.evaluate.task import Task
from tests.pipeline.evaluate.making import make_task


@pytest.fixture(scope="module")
def task() -> Task:
    """Classes of 40, 20 and 8 clips in sources with clips of all of them, and one of a single source."""
    label = [*["a"] * 40, *["b"] * 20, *["c"] * 8, *["d"] * 5]
    sources = [f"s{n % 7}" for n in range(68)] + ["s1"] * 5
    return make_task(label, sources, [str(n % 2) for n in range(73)])


def test_all_pairs_are_weighted_as_they_would_be_drawn(task: Task) -> None:
    draws = ClipDraws(task)
    every, drawn = draws.pairs(10**6), draws.pairs(2000)
    for pairs in (every, drawn):
        assert (task.sources[pairs.first] != task.sources[pairs.second]).all()
        np.testing.assert_array_equal(pairs.same, task.label[pairs.first] == task.label[pairs.second])
        shares = [pairs.weights[pairs.same & (task.label[pairs.first] == one)].sum() for one in draws.classes]
        np.testing.assert_allclose(np.array(shares) / sum(shares), 1 / 3, atol=0.05)
    assert len(drawn.first) == 2000
    assert drawn.same.mean() == 0.5
    clips = draws.clips
    assert len(every.first) == sum(
        task.sources[one] != task.sources[other] for n, one in enumerate(clips) for other in clips[:n]
    )


def test_each_pair_is_drawn_as_often_as_it_is_weighted() -> None:
    task = make_task(list("aaabbb"), ["x", "x", "y", "x", "z", "w"], list("121212"))
    every = ClipDraws(task).pairs(1000)
    counts = np.zeros((6, 6))
    for seed in range(2000):
        drawn = ClipDraws(replace(task, seed=seed)).pairs(14)
        np.add.at(counts, (drawn.first, drawn.second), 1)
    counts += counts.T
    for same in (True, False):
        one = every.same == same
        found = counts[every.first[one], every.second[one]]
        assert found.sum() == 14_000
        np.testing.assert_allclose(found / 14_000, every.weights[one] / every.weights[one].sum(), atol=0.015)


def test_a_trial_has_one_clip_of_each_class_from_other_sources(task: Task) -> None:
    query, support = ClipDraws(task).trials(500, 3)
    assert (task.sources[query][:, None] != task.sources[support]).all()
    assert (task.label[support[:, 0]] == task.label[query]).all()
    assert (np.sort(task.label[support], axis=1) == [0, 1, 2]).all()
    np.testing.assert_allclose(np.bincount(task.label[query]) / 500, 1 / 3, atol=0.06)
    for one, other in zip(ClipDraws(task).trials(500, 3), (query, support), strict=True):
        np.testing.assert_array_equal(one, other)


def test_classes_of_one_source_are_not_drawn(task: Task) -> None:
    draws = ClipDraws(task)
    assert [task.classes[n] for n in draws.alone] == ["d"]
    assert not (task.label[draws.clips] == draws.alone[0]).any()
