"""The suite `few_labels`: which clips are labelled, against scikit-learn, and corpora with few sources."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.evaluate.draws import shuffled_sources
from echopair.pipeline.evaluate.suites.few_labels import (
    FewLabels,
    FewLabelsConfig,
    budgets_of,
    different_counts,
    labelled_clips,
)
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.training.seeding import Stream, numpy_generator
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

SUITE = FewLabels()


def task_of(classes: int = 4, sources_per_class: int = 10, clips_per_source: int = 3) -> Task:
    """A task with equal classes."""
    number = np.arange(classes * sources_per_class * clips_per_source)
    source = number // clips_per_source
    return make_task([f"class {n % classes}" for n in source], [f"source {n}" for n in source])


def test_accuracies_equal_those_of_scikit_learn_on_the_drawn_clips() -> None:
    task = task_of()
    embeddings = clusters(task.label, spread=4.0)
    config = FewLabelsConfig(per_class=(2,), percent=(), draws=2)
    result = SUITE.evaluate(task, make_subject(embeddings), config)
    accuracies = []
    for draw in range(2):
        for number, fold in enumerate(task.folds):
            generator = numpy_generator(task.seed, draw * 5 + number, Stream.LABELLED_SOURCES)
            order = shuffled_sources(task, fold.train, generator)
            labelled = np.concatenate([clips for of_class in order.values() for clips in of_class[:2]])
            assert len(labelled) == 4 * 2 * 3  # two sources of each class, all their clips
            assert not set(task.sources[labelled]) & set(task.sources[fold.test])
            scaler = StandardScaler().fit(embeddings[labelled])
            model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)
            model.fit(scaler.transform(embeddings[labelled]), task.label[labelled])
            accuracies.append(model.score(scaler.transform(embeddings[fold.test]), task.label[fold.test]))
    assert result.metrics["mean"].value == pytest.approx(np.mean(accuracies))
    assert result.metrics["2_per_class"].value == result.metrics["mean"].value


def test_perfect_and_random_embeddings() -> None:
    task = task_of()
    config = FewLabelsConfig(per_class=(1, 5), percent=(10,), draws=3)
    perfect = SUITE.evaluate(task, make_subject(clusters(task.label, spread=0.01)), config)
    assert {one.value for one in perfect.metrics.values()} == {1.0}
    noise = np.random.default_rng(0).normal(size=(len(task.label), 16))
    random = SUITE.evaluate(task, make_subject(noise), config)
    low, high = random.metrics["mean"].interval
    assert low < SUITE.chance(task, config)["mean"] < high


def test_more_labels_include_those_of_fewer_and_equal_numbers_count_once_in_the_mean() -> None:
    task = task_of()  # each fold learns from 8 sources of each class
    config = FewLabelsConfig(per_class=(1, 2, 5), percent=(1, 25), draws=2)
    budgets, undefined = budgets_of(task, config)
    assert not undefined
    different = different_counts(budgets)
    assert [counts[0] for counts in different] == [(1,) * 4, (2,) * 4, (5,) * 4]
    order = shuffled_sources(task, task.folds[0].train, np.random.default_rng(0))
    drawn = [set(labelled_clips(order, counts[0]).tolist()) for counts in different]
    assert drawn[0] < drawn[1] < drawn[2]
    result = SUITE.evaluate(task, make_subject(clusters(task.label, spread=4.0)), config)
    values = {key: metric.value for key, metric in result.metrics.items()}
    assert (values["1_percent"], values["25_percent"]) == (values["1_per_class"], values["2_per_class"])
    three = [values[f"{number}_per_class"] for number in (1, 2, 5)]
    assert values["mean"] == pytest.approx(np.mean(three))


def test_numbers_of_labels_that_a_class_lacks_are_named() -> None:
    labels = ["common"] * 40 + ["rare"] * 5
    task = make_task(labels)
    config = FewLabelsConfig(per_class=(2, 10), percent=(10,), draws=2)
    result = SUITE.evaluate(task, make_subject(clusters(task.label)), config)
    assert list(result.metrics) == ["mean", "2_per_class", "10_percent"]
    (sentence,) = result.undefined
    assert sentence.startswith("10 of each class: 'rare' has 4 sources to learn from")
    assert SUITE.lacks(task, FewLabelsConfig(per_class=(10, 5), percent=())) == (
        "5 sources of each class to learn from (few_labels.per_class)"
    )
    assert SUITE.lacks(make_task([("a", "b"), ("a",), ("b",)] * 5), FewLabelsConfig()) == (
        "clips with one label each"
    )


def test_a_class_that_one_fold_cannot_learn_is_wrong_there() -> None:
    labels = ["a", "b"] * 8 + ["only in fold 2"] * 4
    task = make_task(labels, folds=["1", "1", "2", "2"] * 4 + ["2"] * 4)
    config = FewLabelsConfig(per_class=(1,), percent=(), draws=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = SUITE.evaluate(task, make_subject(clusters(task.label, spread=0.01)), config)
    assert result.metrics["1_per_class"].value == pytest.approx((1 + 8 / 12) / 2)


def test_the_table_has_a_column_and_the_picture_a_point_for_each_number(tmp_path: Path) -> None:
    task = task_of()
    config = FewLabelsConfig(per_class=(1, 3), percent=(), draws=2)
    results = {"mel statistics": SUITE.evaluate(task, make_subject(clusters(task.label)), config)}
    (table,) = SUITE.tables(task, results, config)
    assert table.headings == ["features", "mean accuracy", "1 of each class", "3 of each class"]
    SUITE.figure(task, results, config, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 0
