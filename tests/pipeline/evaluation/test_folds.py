import numpy as np
import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation import folds as module
from echopair.pipeline.evaluation.folds import (
    Fold,
    find_test_split,
    find_test_splits,
    make_folds,
    never_learned,
)
from echopair.pipeline.evaluation.labels import sources_of
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.evaluation.source_folds import SourceFolds
from tests.pipeline.evaluation.test_probe import LabelledStore

CLIPS = 60
LABELS = [("a", "b", "c")[n % 3 : n % 3 + 1] for n in range(CLIPS)]
NONE = [None] * CLIPS


def folds_of(
    folds: list[str | None] = NONE,
    splits: list[str | None] = NONE,
    groups: list[str | None] = NONE,
    test_folds: tuple[str, ...] = (),
    labels: list[tuple[str, ...]] = LABELS,
    test_split: bool = False,
    seed: int = 0,
) -> tuple[str, list[Fold]]:
    clips = LabelledStore(labels, fold=folds, split=splits, group=groups)
    return make_folds("c", clips, ProbeConfig(test_folds=test_folds, test_split=test_split), seed)


def check(folds: list[Fold]) -> None:
    for fold in folds:
        train = set(fold.train.tolist())
        assert not train & set(fold.test.tolist())
        assert fold.validation
        for learn, choose in fold.validation:
            assert not set(learn.tolist()) & set(choose.tolist())
            assert set(learn.tolist()) | set(choose.tolist()) <= train


def test_official_folds_are_tested_once_each() -> None:
    protocol, folds = folds_of([str(n % 10 + 1) for n in range(CLIPS)])
    check(folds)
    assert protocol == "10 official folds"
    assert [fold.name for fold in folds][-1] == "fold 10"  # in the order of numbers, not of letters
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(CLIPS))
    assert len(folds[0].validation) == 9


def test_many_clips_choose_on_no_more_folds_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENOUGH_TO_CHOOSE_ON", 13)  # of folds of 6 clips
    _, folds = folds_of([str(n % 10 + 1) for n in range(CLIPS)])
    assert [len(fold.validation) for fold in folds] == [3] * 10


def test_given_test_folds_are_the_one_test_set() -> None:
    names = [str(n % 10 + 1) for n in range(CLIPS)]
    _, folds = folds_of(names, test_folds=("10",))
    check(folds)
    assert [names[clip] for clip in folds[0].test] == ["10"] * 6


def test_test_folds_may_be_spelt_as_another_number() -> None:
    _, (fold,) = folds_of(["01", "02", "03"] * 20, test_folds=("1",))
    assert fold.test.tolist() == list(range(0, 60, 3))


def test_a_given_split_chooses_on_its_validation_clips() -> None:
    splits = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    protocol, (fold,) = folds_of(splits=splits)
    check([fold])
    assert protocol == "the given split"
    assert fold.test.tolist() == list(range(50, 60))
    assert [choose.tolist() for _, choose in fold.validation] == [list(range(40, 50))]


def test_a_split_without_validation_chooses_within_training() -> None:
    _, folds = folds_of(splits=["train"] * 45 + ["test"] * 15)
    check(folds)
    assert len(folds[0].validation) == 5


def test_our_own_folds_keep_sources_together_and_classes_apart() -> None:
    groups = [f"source {n // 6}" for n in range(CLIPS)]
    _, folds = folds_of(groups=groups)
    check(folds)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(CLIPS))
    for fold in folds:
        assert not {groups[n] for n in fold.test} & {groups[n] for n in fold.train}
        assert {LABELS[n] for n in fold.test} == set(LABELS)
        for learn, choose in fold.validation:
            assert not {groups[n] for n in learn} & {groups[n] for n in choose}


def test_rare_labels_of_several_are_spread() -> None:
    labels = [("common", "rare") if n % 6 == 0 else ("common",) for n in range(CLIPS)]
    _, folds = folds_of(labels=labels)
    assert all(any("rare" in labels[n] for n in fold.test) for fold in folds)


def test_classes_of_two_clips_get_two_folds() -> None:
    _, folds = folds_of(
        labels=[("a",), ("a",), ("b",), ("b",)], folds=NONE[:4], splits=NONE[:4], groups=NONE[:4]
    )
    assert len(folds) == 2


TEN_FOLDS = [str(n % 10 + 1) for n in range(CLIPS)]
SPLITS = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
SOURCES = [f"source {n // 6}" for n in range(CLIPS)]


@pytest.mark.parametrize(
    ("corpus", "protocol", "tested"),
    [
        ({"folds": TEN_FOLDS, "test_folds": ("3", "4")}, "test on fold 3, 4", {"3", "4"}),
        ({"folds": TEN_FOLDS, "splits": SPLITS, "test_folds": ("3",)}, "test on fold 3", {"3"}),
        ({"folds": TEN_FOLDS}, "test on fold 10", {"10"}),
    ],
)
def test_held_out_folds_are_those_given_or_the_last(
    corpus: dict[str, object], protocol: str, tested: set[str]
) -> None:
    said, folds = folds_of(**corpus, test_split=True)  # type: ignore[arg-type]
    check(folds)
    assert said == protocol
    assert [{TEN_FOLDS[clip] for clip in fold.test} for fold in folds] == [tested]
    assert len(folds[0].test) == 6 * len(tested)
    assert len(folds[0].train) == CLIPS - len(folds[0].test)


def test_a_held_out_split_comes_before_official_folds() -> None:
    """Folds of the clips to learn from alone, as some corpora have them, are no hindrance then."""
    folds = [fold if split != "test" else None for fold, split in zip(TEN_FOLDS, SPLITS, strict=True)]
    protocol, (fold,) = folds_of(folds=folds, splits=SPLITS, test_split=True)
    check([fold])
    assert protocol == "the given split"
    assert fold.test.tolist() == list(range(50, 60))
    assert [choose.tolist() for _, choose in fold.validation] == [list(range(40, 50))]


def test_a_find_test_split_of_our_own_is_of_whole_sources_and_all_classes() -> None:
    protocol, (fold,) = folds_of(groups=SOURCES, test_split=True)
    check([fold])
    assert protocol == "test on 1 of 5 folds by class and source"
    assert len(fold.test) == CLIPS / 5
    assert not {SOURCES[n] for n in fold.test} & {SOURCES[n] for n in fold.train}
    assert {LABELS[n] for n in fold.test} == set(LABELS)


def test_a_find_test_split_is_the_same_for_every_seed() -> None:
    _, (one,) = folds_of(groups=SOURCES, test_split=True, seed=0)
    _, (other,) = folds_of(groups=SOURCES, test_split=True, seed=1)
    np.testing.assert_array_equal(one.test, other.test)
    part = find_test_split("c", LabelledStore(LABELS, group=SOURCES), ProbeConfig())
    np.testing.assert_array_equal(part.test, one.test)


def folds_by_source(
    labels: list[tuple[str, ...]], groups: list[str | None], number: int, seed: int
) -> list[np.ndarray]:
    return SourceFolds(labels, sources_of(groups, [None] * len(labels)), seed).of(
        np.arange(len(labels)), number
    )


def test_parts_are_of_whole_sources_and_cover_all_clips() -> None:
    parts = folds_by_source(LABELS, SOURCES, 5, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(CLIPS))
    of_part = [{SOURCES[clip] for clip in part} for part in parts]
    assert sum(map(len, of_part)) == len(set.union(*of_part)) == 10
    assert folds_by_source(LABELS, [label for (label,) in LABELS], 5, seed=0) == []


@pytest.mark.filterwarnings("error")
def test_a_class_of_fewer_clips_than_parts_is_no_warning() -> None:
    assert len(folds_by_source([("a",), ("b",)] * 10 + [("rare",)], [None] * 21, 5, seed=0)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test_folds": ("11",), "folds": ["1", "2"] * 30}, r"has no fold '11'; its folds are 1, 2"),
        ({"test_folds": ("1",)}, "it has no folds"),
        ({"folds": ["1"] * CLIPS}, "all clips are in fold '1'"),
        ({"folds": ["1", None] * 30}, "no fold for 30 of 60 clips, clip 1, clip 3, clip 5, "),
        ({"splits": ["test"] * CLIPS}, "none is left to learn from"),
        (
            {"splits": ["train", "validation"] * 30},
            r"no clip is of split 'test' \(train 30, validation 30\), .*leave out corpora\.c\.split",
        ),
        ({"test_split": True, "splits": ["train"] * CLIPS}, r"no clip is of split 'test' \(train 60\)"),
        ({"groups": [label for (label,) in LABELS]}, "of one source.*corpora.c.group"),
        ({"test_split": True, "test_folds": ("11",), "folds": ["1", "2"] * 30}, "has no fold '11'"),
        ({"test_split": True, "folds": ["1"] * CLIPS}, "all clips are in fold '1'"),
        (
            {"test_split": True, "folds": ["1", None] * 30},
            "no fold for 30 of 60 clips, clip 1, clip 3, clip 5, ",
        ),
        ({"test_split": True, "splits": ["test"] * CLIPS}, "none is left to learn from"),
        ({"test_split": True, "groups": [label for (label,) in LABELS]}, "of one source.*probe.test_folds"),
    ],
)
def test_folds_that_no_probe_can_use_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        folds_of(**arguments)  # type: ignore[arg-type]


RARE = [("rare",) if n < 20 else ("common",) for n in range(CLIPS)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"groups": ["pond" if n < 20 else f"site {n % 9}" for n in range(CLIPS)]},
            r"fold \d holds every clip of 'rare', from 1 source \(pond\), .* learn from 'common' alone",
        ),
        (
            {"folds": ["1" if n < 20 else str(n % 3) for n in range(CLIPS)]},
            "fold 1 holds every clip of 'rare'",
        ),
        (
            {"splits": ["test"] * 30 + ["train"] * 30},
            "split 'test' holds every clip of 'rare', from 20 sources",
        ),
        ({"folds": ["1"] * 20 + ["2"] * 40, "test_folds": ("1",)}, "fold 1 holds every clip of 'rare'"),
    ],
)
def test_a_test_set_that_leaves_one_class_to_learn_from_is_refused(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        folds_of(labels=RARE, **arguments)  # type: ignore[arg-type]


def test_nothing_is_chosen_on_a_split_that_would_learn_from_one_class() -> None:
    labels = [("owl",)] * 2 + [("dog",)] * 40
    clips = LabelledStore(labels)
    _, folds = make_folds("c", clips, ProbeConfig(), 0)
    assert len(folds) == 5
    for fold in folds:
        for learn, _ in fold.validation:
            assert {labels[clip] for clip in learn} == {("owl",), ("dog",)}
    splits: list[str | None] = ["validation", "test"] * 21
    _, (fold,) = make_folds("c", LabelledStore(labels, split=splits), ProbeConfig(), 0)
    assert fold.validation == ()


def test_a_class_that_is_in_one_test_set_alone_is_named() -> None:
    labels = [(name,) for name in "abc" for _ in range(20)]
    clips = LabelledStore(labels, fold=["1" if n < 20 else str(n % 2) for n in range(CLIPS)])
    splits = find_test_splits("c", clips, ProbeConfig(), 0)
    assert never_learned(clips, splits) == ["'a' (all 20 clips are in fold 1)"]


def test_overlapping_sets_cannot_be_made() -> None:
    clips = np.arange(3)
    with pytest.raises(AssertionError, match="both the training and the test set"):
        Fold("x", clips, ((clips[:1], clips[1:]),), clips[2:])
