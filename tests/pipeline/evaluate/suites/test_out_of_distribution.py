"""The suite `out_of_distribution` against scikit-learn, and where a class, a fold or the variance is missing."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from echopair.pipeline.evaluate.suites.out_of_distribution import (
    OutOfDistribution,
    OutOfDistributionConfig,
    class_groups,
    mahalanobis_distances,
    turns_of,
)
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

SUITE, CONFIG = OutOfDistribution(), OutOfDistributionConfig()


def test_areas_are_those_of_scikit_learn_by_either_distance() -> None:
    label = np.arange(120) % 4
    task = make_task([f"c{one}" for one in label], [f"s{n // 8}" for n in range(120)])
    embeddings = clusters(label, spread=2.0)
    result = SUITE.evaluate(task, make_subject(embeddings), CONFIG)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    by_neighbours, by_mahalanobis = [], []
    for left_out in range(4):
        for fold in task.folds:
            train = fold.train[label[fold.train] != left_out]
            unknown = label[fold.test] == left_out
            neighbours = NearestNeighbors(n_neighbors=5).fit(directions[train])
            distance = neighbours.kneighbors(directions[fold.test])[0][:, -1]
            by_neighbours.append(roc_auc_score(unknown, distance))
            known = np.unique(label[train])
            means = np.stack([embeddings[train][label[train] == one].mean(0) for one in known])
            residuals = embeddings[train] - means[np.searchsorted(known, label[train])]
            fitted = LedoitWolf(assume_centered=True).fit(residuals)
            distances = [fitted.mahalanobis(embeddings[fold.test] - mean) for mean in means]
            by_mahalanobis.append(roc_auc_score(unknown, np.min(distances, axis=0)))
    np.testing.assert_allclose(result.metrics["auroc"].value, np.mean(by_neighbours), atol=1e-3)
    np.testing.assert_allclose(result.metrics["auroc_mahalanobis"].value, np.mean(by_mahalanobis), atol=1e-3)


def test_classes_far_apart_are_recognised_and_random_embeddings_are_not() -> None:
    label = np.arange(160) % 4
    task = make_task([f"c{one}" for one in label])
    apart = SUITE.evaluate(task, make_subject(clusters(label, spread=0.05)), CONFIG)
    assert {key: one.value for key, one in apart.metrics.items()} == {
        "auroc": 1,
        "false_rate": 0,
        "auroc_mahalanobis": 1,
        "false_rate_mahalanobis": 0,
    }
    random = SUITE.evaluate(task, make_subject(np.random.default_rng(0).normal(size=(160, 8))), CONFIG)
    for key, value in SUITE.chance(task, CONFIG).items():
        assert random.metrics[key].value == pytest.approx(value, abs=0.08)


def test_of_equal_embeddings_neighbours_are_chance_and_mahalanobis_is_undefined() -> None:
    task = make_task([f"c{n % 3}" for n in range(60)])
    result = SUITE.evaluate(task, make_subject(np.full((60, 5), 0.3)), CONFIG)
    assert list(result.metrics) == ["auroc", "false_rate"]
    assert result.metrics["auroc"].value == pytest.approx(0.5)
    assert result.metrics["false_rate"].value == pytest.approx(0.95)
    assert "do not differ within classes" in result.undefined[0]


def test_a_dimension_that_never_varies_in_training_leaves_distances_finite() -> None:
    reference = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    reference[:, 2] = 0
    tested = np.ones((3, 6), np.float32)
    distances = mahalanobis_distances(reference, np.arange(40) % 2, tested)
    assert distances is not None
    assert np.isfinite(distances).all()


def test_what_is_left_out_is_in_no_reference_and_no_source_on_both_sides() -> None:
    label = [f"c{n % 7}" for n in range(140)]
    task = make_task(label, [f"s{n // 4}" for n in range(140)])
    groups = class_groups(task, 3)
    assert sorted(np.concatenate(groups).tolist()) == list(range(7))
    for fold in task.folds:
        for group, turn in zip(groups, turns_of(task, fold, 3), strict=True):
            assert turn is not None
            assert not np.isin(task.label[turn.reference], group).any()
            np.testing.assert_array_equal(np.isin(task.label[turn.tested], group), ~turn.known)
            assert not set(task.sources[turn.reference]) & set(task.sources[turn.tested])


def test_folds_without_a_class_are_named_and_left_out_of_its_mean() -> None:
    # Class c is in fold 1 alone: it is never learned there, and not tested in fold 2.
    label = [*["a", "b", "c"] * 10, *["a", "b"] * 10]
    task = make_task(label, folds=[*["1"] * 30, *["2"] * 20])
    number = np.array(["abc".index(one) for one in label])
    result = SUITE.evaluate(task, make_subject(clusters(number, spread=0.01)), CONFIG)
    assert result.metrics["auroc"].value == 1
    assert any("fold 1 has no training clip of 'c'" in one for one in result.undefined)
    assert any("fold 2 lacks test clips of 'c'" in one for one in result.undefined)
    assert list(result.details["auroc_of"]) == ["a", "b", "c"]


def test_what_a_corpus_lacks() -> None:
    assert SUITE.lacks(make_task([("a", "b"), ("a",), ("b",)] * 4), CONFIG) == "clips with one label each"
    apart = make_task(list("abcd"), folds=list("1122"))
    assert "test clips of another" in SUITE.lacks(apart, CONFIG)
