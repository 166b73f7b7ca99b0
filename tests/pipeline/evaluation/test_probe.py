import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.embed import Embeddings
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.labels import check_labels, label_targets, lost_by_refusals
from echopair.pipeline.evaluation.probe import ProbeConfig, probe, probe_table
from echopair.pipeline.store import ClipStore


class LabelledStore:
    """Annotations without audio: a probe reads nothing else of a store."""

    def __init__(self, labels: list[tuple[str, ...]], **columns: Sequence[str | None]) -> None:
        self._labels = labels
        self._columns = columns

    def labels(self) -> list[tuple[str, ...]]:
        return self._labels

    def column(self, name: str) -> list[str | None]:
        return list(self._columns.get(name, [None] * len(self._labels)))


def features(labels: list[tuple[str, ...]], noise: float, seed: int = 0, width: int = 16) -> Embeddings:
    """One direction a label, and noise."""
    generator = np.random.default_rng(seed)
    names = sorted({label for clip in labels for label in clip})
    values = noise * generator.normal(size=(len(labels), width))
    for row, clip in enumerate(labels):
        values[row, [names.index(label) for label in clip]] += 1
    return Embeddings(values.astype(np.float32), np.array([str(n) for n in range(len(labels))]))


def test_good_features_beat_bad_ones_and_chance(tmp_path: Path) -> None:
    labels = [("abc"[n % 3],) for n in range(120)]
    store = LabelledStore(labels)
    compared = {"bad": features(labels, 100), "pretrained": features(labels, 0.1)}
    summary = probe("c", store, compared, ProbeConfig(), 0, tmp_path)  # type: ignore[arg-type]
    results = summary["features"]
    assert results["pretrained"]["score"] == 1.0
    assert results["pretrained"]["macro_accuracy"] == 1.0
    assert 0.15 < results["bad"]["score"] < 0.55
    assert results["chance"]["score"] == pytest.approx(1 / 3, abs=0.05)
    with (tmp_path / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["clips"], row["recall"]) for row in rows] == [
        (name, "40", "1.0000") for name in "abc"
    ]
    assert (tmp_path / "confusion_matrix.csv").read_text().splitlines()[1] == "a,40,0,0"


def test_chance_is_the_level_of_a_constant_guess(tmp_path: Path) -> None:
    labels = [("abcdefghij"[n % 10],) for n in range(130)]
    summary = probe(
        "c", LabelledStore(labels), {"f": features(labels, 1)}, ProbeConfig(C=(0.1,)), 0, tmp_path
    )  # type: ignore[arg-type]
    assert summary["features"]["chance"]["score"] == pytest.approx(0.1, abs=0.01)
    assert summary["features"]["chance"]["score"] >= 0.1
    assert summary["features"]["chance"]["macro_accuracy"] == 0.1


def test_two_sources_have_no_interval_and_the_table_says_why(tmp_path: Path) -> None:
    labels = [("ab"[n % 2],) for n in range(40)]
    store = LabelledStore(
        labels, group=[f"site {n // 20}" for n in range(40)], fold=[str(n // 20) for n in range(40)]
    )
    summary = probe("c", store, {"pretrained": features(labels, 1)}, ProbeConfig(C=(0.1,)), 0, tmp_path)  # type: ignore[arg-type]
    assert summary["features"]["pretrained"]["interval"] is None
    assert probe_table(summary).rows[1][2] == "none: 3 sources needed"


def test_shuffled_labels_are_at_chance(tmp_path: Path) -> None:
    """What leaks from test to training shows here."""
    labels = [("abcd"[n % 4],) for n in range(200)]
    shuffled = [labels[n] for n in np.random.default_rng(1).permutation(200)]
    summary = probe("c", LabelledStore(shuffled), {"f": features(labels, 0.1)}, ProbeConfig(), 0, tmp_path)  # type: ignore[arg-type]
    assert summary["features"]["f"]["score"] < 0.38


def test_several_labels_are_scored_by_average_precision(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = [tuple(name for name in "abc" if generator.random() < 0.4) or ("a",) for _ in range(200)]
    split = ["train"] * 120 + ["validation"] * 40 + ["test"] * 40
    store = LabelledStore(labels, split=split)  # type: ignore[arg-type]
    summary = probe("c", store, {"pretrained": features(labels, 0.3)}, ProbeConfig(), 0, tmp_path)  # type: ignore[arg-type]
    assert summary["metric"] == "mean_average_precision"
    assert summary["protocol"] == "the given split"
    assert summary["clips_tested"] == 40
    low, high = summary["features"]["pretrained"]["interval"]
    assert low <= summary["features"]["pretrained"]["score"] <= high
    assert summary["features"]["pretrained"]["score"] > 0.9
    share = np.mean([[name in clip for name in "abc"] for clip in labels[160:]])
    assert summary["features"]["chance"]["score"] == pytest.approx(share)


def test_real_clips_in_official_folds(store: ClipStore, tmp_path: Path) -> None:
    labels = store.labels()
    summary = probe("tones", store, {"pretrained": features(labels, 0.1)}, ProbeConfig(), 0, tmp_path)
    assert summary["protocol"] == "3 official folds"
    assert len(summary["features"]["pretrained"]["per_fold"]) == 3
    one = probe("tones", store, {"f": features(labels, 0.1)}, ProbeConfig(test_folds=(2,)), 0, tmp_path)  # type: ignore[arg-type]
    assert one["protocol"] == "test on fold 2"
    assert one["clips_tested"] == 8


def test_a_held_out_fold_is_tested_alone(store: ClipStore, tmp_path: Path) -> None:
    compared = {"f": features(store.labels(), 0.1)}
    summary = probe("tones", store, compared, ProbeConfig(test_split=True), 0, tmp_path)
    assert summary["protocol"] == "test on fold 3"
    assert summary["clips_tested"] == 8
    assert len(summary["features"]["f"]["per_fold"]) == 1


def test_a_find_test_split_never_teaches(tmp_path: Path) -> None:
    """A probe of one source's clips is right only where it learned from that source."""
    labels = [("abcd"[source % 4],) for source in range(40) for _ in range(5)]
    groups = [f"source {source}" for source in range(40) for _ in range(5)]
    told_by_source = features([(group,) for group in groups], 0.1, width=40)
    summary = probe(
        "c",
        LabelledStore(labels, group=groups),  # type: ignore[arg-type]
        {"f": told_by_source},
        ProbeConfig(test_split=True),
        0,
        tmp_path,
    )
    assert summary["protocol"] == "test on 1 of 5 folds by class and source"
    assert summary["clips_tested"] == 40
    assert summary["features"]["f"]["score"] < 0.6


def test_targets_name_each_clip_s_classes() -> None:
    classes, targets = label_targets([("b",), ("a", "c"), ("b",)])
    assert classes == ["a", "b", "c"]
    assert targets.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    labels = [("abc"[n % 3],) for n in range(60)]
    arguments = ("c", LabelledStore(labels), {"f": features(labels, 1.0)}, ProbeConfig(), 7, tmp_path)
    assert probe(*arguments) == probe(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([("a",), (), ("b",)], "1 of 3 recordings have no label, first 1.wav"),
        ([("a",), ("a",)], "every recording is labelled 'a'"),
        ([("a", "b"), ("a", "b")], "every recording is labelled 'a', 'b'"),
        ([("a",), ("a",), ("b",)], r"class 'b' \(2.wav\) has one clip"),
    ],
)
def test_labels_that_no_probe_can_use(labels: list[tuple[str, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_labels("c", LabelledStore(labels, path=[f"{n}.wav" for n in range(len(labels))]))


def test_what_refusals_took_away_is_named() -> None:
    labels = [("dog",), ("dog",), ("lynx",), ("lynx",), ("owl",), ("wren",)]
    before = LabelledStore(labels, split=["train", "train", "test", "test", "train", "train"])
    left = [0, 1, 2, 5]
    after = LabelledStore([labels[n] for n in left], split=["train"] * 4)
    assert lost_by_refusals(before, after) == [
        "class 'lynx' (1 of 2 left)",
        "class 'owl' (none of 1 left)",
        "split 'test' (none of 2 left)",
    ]
