"""Which clips a probe learns from and which it is tested on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Not the seed of a run: runs that differ in it are compared, and are to be tested on the same clips.
TEST_SPLIT_SEED = 0


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
        choose_on: indices of the clips that the given split sets aside to choose on; none where there is no such split.
    """

    protocol: str
    name: str
    test: NDArray[np.int64]
    choose_on: NDArray[np.int64]


def find_test_split(
    corpus: str,
    labels: Sequence[tuple[str, ...]],
    folds: Sequence[str | None],
    splits: Sequence[str | None],
    groups: Sequence[str | None],
    *,
    test_folds: Sequence[str],
    number: int,
) -> TestSplit:
    """The one split to test on: the test folds, else the split `test`, else the last official fold, else sources.

    It is the same for every run: one with another seed never tests on clips that a setting was chosen on.

    Args:
        corpus: its name, for messages.
        labels: of each clip, used only to draw a split of our own with all classes.
        folds: official fold of each clip, None without.
        splits: train, validation or test of each clip, None without.
        groups: source of each clip; clips of one source stay together in a split of our own.
        test_folds: official folds to test on.
        number: a split of our own is one of so many folds.

    Raises:
        UserError: a fold that does not exist, or nothing that can be tested on or learned from.
    """
    everything = np.arange(len(labels))
    fold_of = np.array([fold or "" for fold in folds])
    split_of = np.array([split or "" for split in splits])
    nothing = everything[:0]
    if test_folds:
        known = official_folds(folds)
        unknown = [fold for fold in test_folds if fold not in known]
        if unknown:
            raise UserError(
                f"probe.test_folds={list(test_folds)}: corpus {corpus!r} has no fold {unknown[0]!r}; "
                f"its folds are {', '.join(known) or 'none'}"
            )
        test = everything[np.isin(fold_of, list(test_folds))]
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
        return TestSplit("the given split", "test", test, everything[split_of == "validation"])
    if known := _folds_of_every_clip(corpus, folds):
        return TestSplit(
            f"test on fold {known[-1]}", f"fold {known[-1]}", everything[fold_of == known[-1]], nothing
        )
    parts = _our_own_folds(corpus, labels, groups, number, TEST_SPLIT_SEED)
    return TestSplit(f"test on 1 of {len(parts)} folds by class and source", "fold 1", parts[0], nothing)


def make_folds(
    corpus: str,
    labels: Sequence[tuple[str, ...]],
    folds: Sequence[str | None],
    splits: Sequence[str | None],
    groups: Sequence[str | None],
    *,
    test_folds: Sequence[str],
    test_split: bool = False,
    number: int,
    seed: int,
) -> tuple[str, list[Fold]]:
    """The folds of a probe: the given split, the official folds, or folds of our own.

    Args:
        corpus: its name, for messages.
        labels: of each clip.
        folds: official fold of each clip, None without.
        splits: train, validation or test of each clip, None without.
        groups: source of each clip; clips of one source stay together in folds of our own.
        test_folds: these official folds alone are the test set; empty for cross-validation.
        test_split: one fold, which tests on `find_test_split` alone.
        number: of folds of our own.
        seed: of folds of our own.

    Returns:
        What was done, in words, and the folds.

    Raises:
        UserError: a fold that does not exist, or too few folds or clips.
    """
    everything = np.arange(len(labels))
    fold_of = np.array([fold or "" for fold in folds])
    inner = _InnerSplits(labels, groups, number, seed)
    if test_split or test_folds or ("test" in splits and not official_folds(folds)):
        part = find_test_split(corpus, labels, folds, splits, groups, test_folds=test_folds, number=number)
        train, chosen_on = np.setdiff1d(everything, part.test), part.choose_on
        validation = (
            ((np.setdiff1d(train, chosen_on), chosen_on),) if len(chosen_on) else inner.of(train, fold_of)
        )
        return part.protocol, [Fold(part.name, train, validation, part.test)]
    if known := _folds_of_every_clip(corpus, folds):
        return f"{len(known)} official folds", [
            Fold(
                f"fold {name}",
                everything[fold_of != name],
                inner.of(everything[fold_of != name], fold_of),
                everything[fold_of == name],
            )
            for name in known
        ]
    parts = _our_own_folds(corpus, labels, groups, number, seed)
    return f"{len(parts)} folds by class and source", [
        Fold(
            f"fold {n + 1}",
            np.setdiff1d(everything, test),
            inner.of(np.setdiff1d(everything, test), fold_of),
            test,
        )
        for n, test in enumerate(parts)
    ]


def folds_by_source(
    labels: Sequence[tuple[str, ...]], groups: Sequence[str | None], number: int, seed: int
) -> list[NDArray[np.int64]]:
    """Disjoint folds of all clips with about equal shares of each class, no source in two of them.

    Args:
        labels: of each clip.
        groups: source of each clip; a clip without one is a source of its own.
        number: of folds, fewer where half of the classes have fewer sources.
        seed: of the draw.

    Returns:
        Indices of the clips of each fold; none where each class has one source.
    """
    return _InnerSplits(labels, groups, number, seed).folds(np.arange(len(labels)), number)


def rarest_labels(labels: Sequence[tuple[str, ...]]) -> NDArray[np.str_]:
    """The one label of each clip by which it is put in a fold: of several the rarest, so that it is spread too."""
    counts = Counter(label for clip in labels for label in clip)
    return np.array([min(clip, key=lambda name: (counts[name], name)) if clip else "" for clip in labels])


def official_folds(folds: Sequence[str | None]) -> list[str]:
    """Names of the official folds, in the order of numbers."""
    return sorted({fold for fold in folds if fold}, key=_natural)


def _folds_of_every_clip(corpus: str, folds: Sequence[str | None]) -> list[str]:
    known = official_folds(folds)
    lacking = [clip for clip, fold in enumerate(folds) if not fold]
    if known and lacking:
        raise UserError(f"corpus {corpus!r}: clip {lacking[0]} has no fold while others have one")
    if len(known) == 1:
        raise UserError(
            f"corpus {corpus!r} has only fold {known[0]!r}; a probe needs at least two, or no fold column"
        )
    return known


def _our_own_folds(
    corpus: str, labels: Sequence[tuple[str, ...]], groups: Sequence[str | None], number: int, seed: int
) -> list[NDArray[np.int64]]:
    parts = folds_by_source(labels, groups, number, seed)
    if not parts:
        raise UserError(
            f"corpus {corpus!r}: all clips of a class are of one source, so none can be tested on what was learned "
            f"from another; add recordings of other sources, correct corpora.{corpus}.group, or name a column of folds "
            f"or splits in corpora.{corpus}.fold or .split (and folds to test on in probe.test_folds)"
        )
    return parts


class _InnerSplits:
    """Splits within training clips, on which hyper-parameters are chosen."""

    def __init__(
        self, labels: Sequence[tuple[str, ...]], groups: Sequence[str | None], number: int, seed: int
    ) -> None:
        self._label = rarest_labels(labels)
        self._group = np.array([group or f"clip {n}" for n, group in enumerate(groups)])
        self._number = number
        self._seed = seed

    def of(
        self, train: NDArray[np.int64], fold_of: NDArray[np.str_]
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """(learn, choose) pairs: by official folds where at least two are left, else by class and source.

        None at all where each class has one source.
        """
        names = sorted(set(fold_of[train].tolist()) - {""})
        parts = (
            [train[fold_of[train] == name] for name in names]
            if len(names) >= 2
            else self.folds(train, self._number)
        )
        return tuple((np.setdiff1d(train, part), part) for part in parts)

    def folds(self, clips: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
        """Disjoint folds with about equal shares of each class, no source in two of them."""
        from sklearn.model_selection import StratifiedGroupKFold

        sources_of_class: dict[str, set[str]] = {}
        for label, group in zip(self._label[clips].tolist(), self._group[clips].tolist(), strict=True):
            sources_of_class.setdefault(label, set()).add(group)
        # No more folds than the median class can fill; with one source a class nothing can be held out.
        fillable = int(np.median([len(sources) for sources in sources_of_class.values()]))
        if max(len(sources) for sources in sources_of_class.values()) < 2:
            return []
        splitter = StratifiedGroupKFold(max(2, min(number, fillable)), shuffle=True, random_state=self._seed)
        with warnings.catch_warnings():
            # A class of fewer clips than folds is no surprise: they are as many as the median class can fill.
            warnings.filterwarnings("ignore", message="The least populated class")
            return [
                clips[test]
                for _, test in splitter.split(clips, self._label[clips], self._group[clips])
                if len(test)
            ]


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (10**9, name)
