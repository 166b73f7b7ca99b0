"""Which clips a probe learns from and which it is tested on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.corpora.spelling import same_value
from echopair.pipeline.errors import UserError, listed
from echopair.pipeline.evaluation.labels import (
    Annotations,
    class_sets,
    clip_names,
    quoted,
    sources_of,
)
from echopair.pipeline.evaluation.source_folds import SourceFolds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluation.probe import ProbeConfig


# Not the seed of a run: runs that differ in it are compared, and are to be tested on the same clips.
TEST_SPLIT_SEED = 0
ENOUGH_TO_CHOOSE_ON = 10_000  # clips: the standard error of an accuracy on them is half a percent at most


@dataclass(frozen=True)
class Fold:
    """One test set, and what may be used to prepare for it.

    Args:
        name: as people know it.
        train: indices of the clips to learn from, those of `validation` included.
        validation: pairs of indices (learn from, choose on) within `train`, to choose hyper-parameters.
        test: indices of the clips evaluated once, at the end; disjoint from `train`.
    """

    name: str
    train: NDArray[np.int64]
    validation: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    test: NDArray[np.int64]

    def __post_init__(self) -> None:
        if set(self.train.tolist()) & set(self.test.tolist()):
            raise AssertionError(f"fold {self.name}: clips are in both the training and the test set")


@dataclass(frozen=True)
class TestSplit:
    """The clips of a corpus that are tested on, so that anything may be chosen on the rest.

    Args:
        protocol: what was done, in words.
        name: of the fold that it becomes.
        test: indices of its clips.
        validation: indices of the clips of the given validation split; empty if there is none.
    """

    protocol: str
    name: str
    test: NDArray[np.int64]
    validation: NDArray[np.int64]


def find_test_split(corpus: str, clips: Annotations, config: ProbeConfig) -> TestSplit:
    """The one split to test on: the test folds, else the split `test`, else the last official fold, else sources.

    It is the same for every run: one with another seed never tests on clips that a setting was chosen on.

    Args:
        corpus: its name, for messages.
        clips: labels, used only to draw a split of our own with all classes; official folds and splits; groups, since
            clips of one source stay together in a split of our own.
        config: `test_folds`; and `folds`, of which a split of our own is one.

    Raises:
        UserError: a fold that does not exist, or nothing that can be tested on or learned from.
    """
    test_folds, folds = config.test_folds, clips.column("fold")
    everything = np.arange(len(folds))
    fold_of = np.array([fold or "" for fold in folds])
    split_of = np.array([split or "" for split in clips.column("split")])
    nothing = everything[:0]
    if test_folds:
        known = official_folds(folds)
        chosen = {fold for fold in known if same_value(fold) in map(same_value, test_folds)}
        unknown = [fold for fold in test_folds if same_value(fold) not in map(same_value, known)]
        if unknown:
            raise UserError(
                f"probe.test_folds={list(test_folds)}: corpus {corpus!r} has no fold {unknown[0]!r}; "
                f"{'its folds are ' + ', '.join(known) if known else 'it has no folds'}"
            )
        _check_every_clip_has_a_fold(corpus, clips)
        test = everything[np.isin(fold_of, list(chosen))]
        if len(test) == len(everything):
            raise UserError(
                f"probe.test_folds={list(test_folds)} leaves no fold of corpus {corpus!r} to learn from"
            )
        name = f"fold {', '.join(test_folds)}"
        return TestSplit(f"test on {name}", name, test, nothing)
    if "test" in split_of:
        test = everything[split_of == "test"]
        if len(test) == len(everything):
            raise UserError(f"corpus {corpus!r}: every clip is of split 'test'; none is left to learn from")
        return TestSplit("the given split", "split 'test'", test, everything[split_of == "validation"])
    if known := _folds_of_every_clip(corpus, clips):
        return TestSplit(
            f"test on fold {known[-1]}", f"fold {known[-1]}", everything[fold_of == known[-1]], nothing
        )
    parts = _our_own_folds(corpus, clips, config.folds, TEST_SPLIT_SEED)
    return TestSplit(f"test on 1 of {len(parts)} folds by class and source", "fold 1", parts[0], nothing)


def find_test_splits(corpus: str, clips: Annotations, config: ProbeConfig, seed: int) -> list[TestSplit]:
    """What a probe is tested on, in turn: the given split, the official folds, or folds of our own.

    Args:
        corpus: its name, for messages.
        clips: labels, folds, splits, and groups: clips of one source stay together in folds of our own.
        config: which folds are tested, and how many folds of our own are made.
        seed: of folds of our own.

    Raises:
        UserError: a fold that does not exist, too few folds or clips, or a test set without which one class is left.
    """
    folds = clips.column("fold")
    nothing = np.arange(0)
    given = "test" in clips.column("split") and not official_folds(folds)
    if given or config.test_split or config.test_folds:
        splits = [find_test_split(corpus, clips, config)]
    elif known := _folds_of_every_clip(corpus, clips):
        fold_of = np.array(folds)
        splits = [
            TestSplit(
                f"{len(known)} official folds", f"fold {name}", np.flatnonzero(fold_of == name), nothing
            )
            for name in known
        ]
    else:
        parts = _our_own_folds(corpus, clips, config.folds, seed)
        protocol = f"{len(parts)} folds by class and source"
        splits = [TestSplit(protocol, f"fold {n + 1}", test, nothing) for n, test in enumerate(parts)]
    _check_several_classes_are_left(corpus, clips, splits)
    return splits


def make_folds(corpus: str, clips: Annotations, config: ProbeConfig, seed: int) -> tuple[str, list[Fold]]:
    """The folds of a probe: `find_test_splits`, each with splits to choose hyper-parameters on.

    Args: see `find_test_splits`.

    Returns:
        What was done, in words, and the folds.

    Raises:
        UserError: see `find_test_splits`.
    """
    splits = find_test_splits(corpus, clips, config, seed)
    labels = clips.labels()
    classes = class_sets(labels)
    everything = np.arange(len(labels))
    fold_of = np.array([fold or "" for fold in clips.column("fold")])
    source_folds = SourceFolds(labels, sources_of(clips.column("group"), clips.column("sound")), seed)
    made = []
    for split in splits:
        train = np.setdiff1d(everything, split.test)
        names = sorted(set(fold_of[train].tolist()) - {""})
        if len(split.validation):
            chosen_on = [split.validation]
        elif len(names) >= 2:
            chosen_on = [train[fold_of[train] == name] for name in names]
        else:
            chosen_on = source_folds.of(train, config.folds)
        pairs = [(np.setdiff1d(train, choose), choose) for choose in chosen_on]
        # From one class nothing is learned: such a pair says nothing about the regularisation.
        several = [pair for pair in pairs if len(np.unique(classes[pair[0]])) > 1]
        sizes = np.cumsum([len(choose) for _, choose in several])
        several = several[: int(np.searchsorted(sizes, ENOUGH_TO_CHOOSE_ON)) + 1]
        made.append(Fold(split.name, train, tuple(several), split.test))
    return splits[0].protocol, made


def never_learned(clips: Annotations, splits: Sequence[TestSplit]) -> list[str]:
    """Classes that a test set holds all clips of, so that no probe tested on them has learned them, with the reason."""
    labels = clips.labels()
    totals = Counter(label for clip in labels for label in clip)
    return [
        f"{label!r} (all {totals[label]} clips are in {split.name})"
        for split in splits
        for label, number in sorted(Counter(name for clip in split.test for name in labels[clip]).items())
        if number == totals[label]
    ]


def official_folds(folds: Sequence[str | None]) -> list[str]:
    """Names of the official folds, in the order of numbers."""
    return sorted({fold for fold in folds if fold}, key=_natural)


def _check_every_clip_has_a_fold(corpus: str, clips: Annotations) -> None:
    names = [name for name, fold in zip(clip_names(clips), clips.column("fold"), strict=True) if not fold]
    if names:
        raise UserError(
            f"corpus {corpus!r}: no fold for {len(names)} of {len(clips.column('fold'))} clips, {listed(names)}; give "
            f"each a fold, or leave out corpora.{corpus}.fold"
        )


def _folds_of_every_clip(corpus: str, clips: Annotations) -> list[str]:
    known = official_folds(clips.column("fold"))
    if known:
        _check_every_clip_has_a_fold(corpus, clips)
    if len(known) == 1:
        raise UserError(
            f"corpus {corpus!r}: all clips are in fold {known[0]!r}, and a probe is tested on another fold than it "
            f"learns from; add clips of another fold, or leave out corpora.{corpus}.fold"
        )
    return known


def _check_several_classes_are_left(corpus: str, clips: Annotations, splits: Sequence[TestSplit]) -> None:
    labels = clips.labels()
    classes = class_sets(labels)
    sources = [group or name for group, name in zip(clips.column("group"), clip_names(clips), strict=True)]
    for split in splits:
        left = np.delete(np.arange(len(labels)), split.test)
        if len(np.unique(classes[left])) > 1:
            continue
        only = labels[left[0]] if len(left) else ("nothing",)
        others = [clip for clip in split.test if labels[clip] != only]
        names = sorted({label for clip in others for label in labels[clip]} - set(only))
        of_others = list(dict.fromkeys(sources[clip] for clip in others))
        lost, sources_lost = listed(quoted(names)), f"{len(of_others)} source{'s'[: len(of_others) > 1]}"
        raise UserError(
            f"corpus {corpus!r} ({split.protocol}): {split.name} holds every clip of {lost}, from {sources_lost} "
            f"({listed(of_others)}), and a probe that is tested on it would learn from {listed(quoted(only))} alone; "
            f"add recordings of {lost} from other sources, or correct corpora.{corpus}.group, .fold or .split"
        )


def _our_own_folds(corpus: str, clips: Annotations, number: int, seed: int) -> list[NDArray[np.int64]]:
    labels = clips.labels()
    if given := Counter(split for split in clips.column("split") if split):
        counts = ", ".join(f"{split} {count}" for split, count in sorted(given.items()))
        raise UserError(
            f"corpus {corpus!r}: no clip is of split 'test' ({counts}), so there is nothing to test on; add the clips "
            f"of the test split, or leave out corpora.{corpus}.split and .all_split to test on folds of echopair's own"
        )
    parts = SourceFolds(labels, sources_of(clips.column("group"), clips.column("sound")), seed).of(
        np.arange(len(labels)), number
    )
    if len(parts) < 2:
        raise UserError(
            f"corpus {corpus!r}: all clips of a class are of one source, so none can be tested on what was learned "
            f"from another; add recordings of other sources, correct corpora.{corpus}.group, or name a column of folds "
            f"or splits in corpora.{corpus}.fold or .split (and folds to test on in probe.test_folds)"
        )
    return parts


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (10**9, name)
