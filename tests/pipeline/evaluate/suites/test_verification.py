"""The suite `verification`: perfect, random and equal embeddings, scikit-learn, and the variance of its intervals."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from echopair.pipeline.evaluate.clip_draws import ClipDraws
from echopair.pipeline.evaluate.suites.verification import Verification, VerificationConfig
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

SUITE = Verification()
CONFIG = VerificationConfig(trials=2000)


def test_perfect_embeddings_err_never_and_equal_ones_as_chance() -> None:
    label = np.arange(84) % 6
    task = make_task([f"c{one}" for one in label], [f"s{n // 4}" for n in range(84)])
    perfect = SUITE.evaluate(task, make_subject(np.eye(6)[label]), CONFIG)
    assert {key: one.value for key, one in perfect.metrics.items()} == {
        "equal_error_rate": 0,
        "auroc": 1,
        "one_shot_5": 1,
        "one_shot_20": 1,
    }
    equal = SUITE.evaluate(task, make_subject(np.full((84, 7), 0.3)), CONFIG)
    chance = SUITE.chance(task, CONFIG)
    assert chance["one_shot_20"] == 1 / 6  # of six classes
    assert SUITE.heading("one_shot_20", task) == "one-shot accuracy, 6 classes"
    for key, value in chance.items():
        np.testing.assert_allclose(equal.metrics[key].value, value)


def test_the_picture_is_of_curves_that_rise_from_0_to_1(tmp_path: Path) -> None:
    task = make_task([f"c{n % 3}" for n in range(60)])
    result = SUITE.evaluate(task, make_subject(clusters(task.label)), CONFIG)
    curve = result.details["roc"]
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()
    SUITE.figure(task, {"mel statistics": result, "pretrained": result}, CONFIG, tmp_path / "roc.png")
    assert (tmp_path / "roc.png").stat().st_size > 1000


def test_random_embeddings_are_near_chance() -> None:
    task = make_task([f"c{n % 5}" for n in range(300)])
    embeddings = np.random.default_rng(0).normal(size=(300, 16))
    result = SUITE.evaluate(task, make_subject(embeddings), CONFIG)
    assert list(result.metrics) == ["equal_error_rate", "auroc", "one_shot_5"]  # 5 classes are all
    for key, value in SUITE.chance(task, CONFIG).items():
        low, high = result.metrics[key].interval
        assert low < value < high


def test_the_area_is_that_of_scikit_learn_and_its_resamples_those_of_repeated_pairs() -> None:
    label = np.arange(60) % 3
    task = make_task([f"c{one}" for one in label], [f"s{n % 20}" for n in range(60)])
    embeddings = clusters(label, spread=2.0)
    metric = SUITE.evaluate(task, make_subject(embeddings), CONFIG).metrics["auroc"]
    pairs = ClipDraws(task).pairs(CONFIG.max_pairs)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = (directions[pairs.first] * directions[pairs.second]).sum(1)
    expected = roc_auc_score(pairs.same, similarity, sample_weight=pairs.weights)
    np.testing.assert_allclose(metric.value, expected, atol=1e-5)
    for draw in range(3):
        counts = task.source_counts[draw][task.sources]
        times = pairs.weights * counts[pairs.first] * counts[pairs.second]
        expected = roc_auc_score(pairs.same, similarity, sample_weight=times)
        np.testing.assert_allclose(metric.resamples[draw], expected, atol=2e-4)


def test_one_shot_is_the_nearest_of_the_support() -> None:
    label = np.arange(120) % 6
    task = make_task([f"c{one}" for one in label])
    embeddings = clusters(label, spread=2.0)
    query, support = ClipDraws(task).trials(CONFIG.trials, 5)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    nearest = [
        int((directions[few] @ directions[one]).argmax()) for one, few in zip(query, support, strict=True)
    ]
    metric = SUITE.evaluate(task, make_subject(embeddings), CONFIG).metrics["one_shot_5"]
    np.testing.assert_allclose(metric.value, np.mean(np.array(nearest) == 0))


def test_intervals_have_the_variance_between_corpora() -> None:
    few = VerificationConfig(trials=500)

    def drawn(seed: int) -> list[tuple[float, float]]:
        generator = np.random.default_rng(seed)
        source = np.repeat(np.arange(48), 2)
        centres = np.random.default_rng(99).normal(size=(4, 8))
        embeddings = centres[source // 12] + generator.normal(size=(48, 8))[source]
        embeddings += 0.5 * generator.normal(size=(96, 8))
        task = make_task([f"c{one}" for one in source // 12], [f"s{one}" for one in source])
        metrics = SUITE.evaluate(task, make_subject(embeddings), few).metrics
        keys = ("equal_error_rate", "auroc", "one_shot_5")
        return [(metrics[key].value, float(metrics[key].resamples.std())) for key in keys]

    found = np.array([drawn(seed) for seed in range(25)])  # (25, metrics, 2)
    ratio = found[:, :, 1].mean(0) / found[:, :, 0].std(0)
    # The product of counts is a little too wide of few sources, 12 of a class here.
    assert ((ratio > 0.8) & (ratio < 1.7)).all()


def test_what_a_corpus_lacks_and_what_is_left_out() -> None:
    several = make_task([("a", "b"), ("a",), ("b",)] * 4)
    assert SUITE.lacks(several, CONFIG) == "clips with one label each"
    one_source = make_task(list("ababcc"), ["x", "y", "z", "w", "v", "v"], list("121212"))
    assert SUITE.lacks(one_source, CONFIG) == ""
    result = SUITE.evaluate(one_source, make_subject(np.eye(6)), CONFIG)
    assert "'c' are of one source" in result.undefined[0]
    alone = make_task(list("abcabc"), ["x", "y", "z", "x", "w", "z"], list("111222"))
    assert "two classes, each of two sources" in SUITE.lacks(alone, CONFIG)


@pytest.mark.parametrize("key", ["equal_error_rate", "auroc"])
def test_drawn_pairs_give_the_figures_of_all_nearly(key: str) -> None:
    label = np.repeat(np.arange(4), [80, 60, 40, 20])
    task = make_task([f"c{one}" for one in label])
    subject = make_subject(clusters(label, spread=2.0))
    few = VerificationConfig(max_pairs=10_000, trials=100)
    every, drawn = (SUITE.evaluate(task, subject, one).metrics[key] for one in (CONFIG, few))
    assert drawn.value == pytest.approx(every.value, abs=0.015)
