"""The suite `noisy_labels`: which labels are wrong, against scikit-learn, and what the mean is of."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.evaluate.suites.linear import Linear, LinearConfig
from echopair.pipeline.evaluate.suites.noisy_labels import (
    PAIR,
    RANDOM,
    Noise,
    NoisyLabels,
    NoisyLabelsConfig,
    given_labels,
    is_learnable,
    wrong_labels,
)
from echopair.pipeline.evaluate.task import Task
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

SUITE = NoisyLabels()


def task_of(classes: int = 4, sources_per_class: int = 25, clips_per_source: int = 2) -> Task:
    """A task with equal classes."""
    source = np.arange(classes * sources_per_class * clips_per_source) // clips_per_source
    return make_task([f"class {n % classes}" for n in source], [f"source {n}" for n in source])


def noise(kind: str, percent: float) -> Noise:
    return Noise(f"{kind}_{percent:g}", "", kind, percent)


@pytest.mark.parametrize("kind", [RANDOM, PAIR])
@pytest.mark.parametrize("percent", [20, 40, 60])
def test_a_share_of_the_sources_of_each_class_has_a_wrong_label(kind: str, percent: float) -> None:
    task = task_of(sources_per_class=250)
    fold = task.folds[0]  # learns from 200 sources of each class
    given = given_labels(task.label, wrong_labels(task, fold, 0), noise(kind, percent))
    np.testing.assert_array_equal(given[fold.test], task.label[fold.test])
    for one in range(4):
        of_class = fold.train[task.label[fold.train] == one]
        is_wrong = given[of_class] != one
        assert is_wrong.mean() == percent / 100
        others = set(given[of_class][is_wrong].tolist())
        assert others == ({(one + 1) % 4} if kind == PAIR else set(range(4)) - {one})
    for number in np.unique(task.sources[fold.train]):
        assert len(np.unique(given[task.sources == number])) == 1


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    task = task_of()
    drawn = wrong_labels(task, task.folds[0], 0)
    less, more = (given_labels(task.label, drawn, noise(RANDOM, percent)) for percent in (20, 60))
    changed = less != task.label
    np.testing.assert_array_equal(more[changed], less[changed])


def test_accuracies_equal_those_of_scikit_learn_on_the_given_labels() -> None:
    task = task_of()
    embeddings = clusters(task.label, spread=3.0)
    config = NoisyLabelsConfig(percent=(40,), draws=2, C=(0.1,))
    result = SUITE.evaluate(task, make_subject(embeddings), config)
    accuracies = []
    for draw in range(2):
        for number, fold in enumerate(task.folds):
            given = given_labels(task.label, wrong_labels(task, fold, 5 * draw + number), noise(PAIR, 40))
            scaler = StandardScaler().fit(embeddings[fold.train])
            model = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000)
            model.fit(scaler.transform(embeddings[fold.train]), given[fold.train])
            accuracies.append(model.score(scaler.transform(embeddings[fold.test]), task.label[fold.test]))
    assert result.metrics["pair_40"].value == pytest.approx(np.mean(accuracies))


def test_without_noise_it_is_the_suite_linear() -> None:
    task = task_of()
    subject = make_subject(clusters(task.label, spread=3.0))
    clean = SUITE.evaluate(task, subject, NoisyLabelsConfig(percent=(20,), draws=1)).metrics["clean"]
    linear = Linear().evaluate(task, subject, LinearConfig()).metrics["score"]
    assert clean.value == linear.value
    np.testing.assert_allclose(clean.resamples, linear.resamples, atol=1e-6)


def test_a_strong_encoder_keeps_its_accuracy_and_follows_wrong_labels_where_they_are_most() -> None:
    task = task_of()
    config = NoisyLabelsConfig(draws=1)
    good = SUITE.evaluate(task, make_subject(clusters(task.label, spread=0.05)), config).metrics
    assert all(good[key].value == 1 for key in ("clean", "random_20", "random_40", "pair_20", "pair_40"))
    assert good["pair_60"].value < 0.05
    noise = np.random.default_rng(0).normal(size=(len(task.label), 16))
    low, high = SUITE.evaluate(task, make_subject(noise), config).metrics["mean"].interval
    assert low < SUITE.chance(task, config)["mean"] < high


def test_the_mean_is_of_the_noise_that_leaves_the_right_label_most_frequent() -> None:
    task = task_of()
    assert [is_learnable(noise(PAIR, percent), task) for percent in (40, 50, 60)] == [True, False, False]
    assert [is_learnable(noise(RANDOM, percent), task) for percent in (60, 74, 75)] == [True, True, False]
    config = NoisyLabelsConfig(percent=(40, 60), draws=1)
    metrics = SUITE.evaluate(task, make_subject(clusters(task.label, spread=3.0)), config).metrics
    kept = [metrics[key].value for key in ("random_40", "random_60", "pair_40")]
    assert metrics["mean"].value == pytest.approx(np.mean(kept))


def test_what_a_corpus_lacks() -> None:
    assert SUITE.lacks(make_task([("a", "b"), ("a",), ("b",)] * 5), NoisyLabelsConfig()) == (
        "clips with one label each"
    )
    two = make_task(["a", "b"] * 10)
    assert not SUITE.lacks(two, NoisyLabelsConfig())
    assert "noisy_labels.percent" in SUITE.lacks(two, NoisyLabelsConfig(percent=(60,)))


def test_noise_that_changes_no_label_is_named() -> None:
    task = make_task(["a", "b", "c"] * 2, folds=list("111222"))  # a source of each class to learn from
    result = SUITE.evaluate(
        task, make_subject(clusters(task.label)), NoisyLabelsConfig(percent=(20, 60), draws=1)
    )
    assert list(result.metrics) == ["mean", "clean", "random_60", "pair_60"]
    assert result.undefined[0] == (
        "20 %, random class: the largest class has 1 training sources, too few for it"
    )


def test_the_table_has_a_column_for_each_noise(tmp_path: Path) -> None:
    task, config = task_of(), NoisyLabelsConfig(percent=(20,), draws=1, C=(1.0,))
    results = {"mel statistics": SUITE.evaluate(task, make_subject(clusters(task.label)), config)}
    (table,) = SUITE.tables(task, results, config)
    assert table.headings[1:] == [
        "mean accuracy",
        "no wrong labels",
        "20 %, random class",
        "20 %, next class",
    ]
    SUITE.figure(task, results, config, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 0
