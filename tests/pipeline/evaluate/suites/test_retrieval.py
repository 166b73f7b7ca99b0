"""The suite `retrieval` against slow references, scikit-learn, and the expectation of random orders."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from echopair.pipeline.evaluate.suites.base import SuiteConfig
from echopair.pipeline.evaluate.suites.retrieval import (
    Retrieval,
    average_precision,
    influences,
    rank_clips,
    recall,
)
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

SUITE, CONFIG = Retrieval(), SuiteConfig()


def precision_of(relevant: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """Average precision of ranked clips with weights, from its definition."""
    total, seen, found = 0.0, 0.0, 0.0
    for one, weight in zip(relevant, weights, strict=True):
        seen += weight
        found += weight * one
        total += weight * one * found / seen
    return total / float(weights @ relevant)


def test_average_precision_and_recall_are_those_of_the_mean_order_of_ties() -> None:
    similarity = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])
    for relevant in ([0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]):
        orders = [[0, *middle, 5] for middle in itertools.permutations([1, 2, 3, 4])]
        ranked = rank_clips(similarity[None], np.array([relevant], bool))
        lists = [np.array(relevant, bool)[order] for order in orders]
        expected = np.mean([precision_of(one, np.ones(6)) for one in lists])
        np.testing.assert_allclose(average_precision(ranked), expected)
        for k in (1, 2, 3, 5):
            found = np.mean([one[:k].any() for one in lists])
            np.testing.assert_allclose(recall(ranked, k, np.array([6])), found)


def test_influences_are_the_derivatives_with_respect_to_weights() -> None:
    generator = np.random.default_rng(0)
    similarity, relevant = generator.random(30), generator.random(30) < 0.3
    ranked = rank_clips(similarity[None], relevant[None])
    for n, found in enumerate(influences(ranked)[0]):
        step = 1e-6 * np.eye(30)[n]
        high, low = (precision_of(ranked.relevant[0], 1 + sign * step) for sign in (1, -1))
        np.testing.assert_allclose(found, (high - low) / 2e-6, atol=1e-8)


def test_metrics_are_those_of_a_loop_that_skips_clips_of_the_query_s_source() -> None:
    label = np.arange(60) % 3
    sources = [f"s{n // 2 % 20}" for n in range(60)]  # with clips of several classes
    task = make_task([f"c{one}" for one in label], sources)
    embeddings = clusters(label, spread=2.0)
    result = SUITE.evaluate(task, make_subject(embeddings), CONFIG)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    precisions, first = [], []
    for query in range(60):
        others = [n for n in range(60) if sources[n] != sources[query]]
        similarity = directions[others] @ directions[query]
        precisions.append(average_precision_score(label[others] == label[query], similarity))
        ranked = label[np.array(others)[np.argsort(-similarity)]] == label[query]
        first.append([ranked[:k].any() for k in (1, 5, 10)])
    np.testing.assert_allclose(result.metrics["map"].value, np.mean(precisions), atol=1e-6)
    found = [result.metrics[f"recall_{k}"].value for k in (1, 5, 10)]
    np.testing.assert_allclose(found, np.mean(first, axis=0))


def test_perfect_embeddings_find_all_and_equal_ones_what_chance_finds() -> None:
    label = np.arange(80) % 4
    task = make_task([f"c{one}" for one in label], [f"s{n // 8}" for n in range(80)])
    perfect = SUITE.evaluate(task, make_subject(np.eye(4)[label]), CONFIG)
    assert all(metric.value == 1 for metric in perfect.metrics.values())
    equal = SUITE.evaluate(task, make_subject(np.full((80, 5), 0.3)), CONFIG)
    for key, value in SUITE.chance(task, CONFIG).items():
        np.testing.assert_allclose(equal.metrics[key].value, value)


def test_the_interval_holds_the_variance_of_what_is_found() -> None:
    def drawn(seed: int) -> tuple[float, float]:
        generator = np.random.default_rng(seed)
        source = np.repeat(np.arange(48), 2)
        centres = np.random.default_rng(99).normal(size=(4, 8))
        embeddings = centres[source // 12] + generator.normal(size=(48, 8))[source]
        embeddings += 0.5 * generator.normal(size=(96, 8))
        task = make_task([f"c{one}" for one in source // 12], [f"s{one}" for one in source])
        metric = SUITE.evaluate(task, make_subject(embeddings), CONFIG).metrics["map"]
        return metric.value, float(metric.resamples.std())

    values, deviations = zip(*(drawn(seed) for seed in range(25)), strict=True)
    # That of the queries alone is 0.6 of it.
    assert np.mean(deviations) == pytest.approx(np.std(values), rel=0.3)


def test_queries_that_nothing_can_answer_are_named_and_left_out() -> None:
    label = [*["frog"] * 6, "owl", "owl"]
    task = make_task(label, ["a", "b", "c", "d", "e", "f", "g", "g"], list("12121212"))
    result = SUITE.evaluate(task, make_subject(np.eye(2)[[*[0] * 6, 1, 1]]), CONFIG)
    assert result.metrics["map"].value == 1
    assert "2 tested clips of 'owl'" in result.undefined[0]
    alone = make_task(["frog", "owl"] * 2, ["a", "b"] * 2, list("1122"))
    assert SUITE.lacks(alone, CONFIG) == "clips of one class from two sources"


def test_of_several_labels_one_in_common_is_enough() -> None:
    labels = [("a", "b"), ("b", "c"), ("c",), ("a",)] * 5
    task = make_task(labels)
    result = SUITE.evaluate(task, make_subject(task.targets.astype(float)), CONFIG)
    assert 0.9 < result.metrics["map"].value <= 1
    assert result.metrics["recall_1"].value == 1
