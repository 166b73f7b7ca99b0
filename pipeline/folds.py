"""Which clips a probe learns from and which it is tested on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError


@dataclass(frozen=True)
class Fold:
    """One test set, and what may be used to prepare for it.

    Args:
        name: as people know it.
        train: indices of the clips to learn from, those of `validation` included.
        validation: pairs of indices (learn from, choose on) within `train`, to choose hyper-parameters.
        test: indices of the clips read once, at the end; disjoint from `train`.
    """

    name: str
    train: NDArray[np.int64]
    validation: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    test: NDArray[np.int64]

    def __post_init__(self) -> None:
        if set(self.train.tolist()) & set(self.test.tolist()):
            raise AssertionError(f"fold {self.name}: clips stand in both the training and the test set")


def make_folds(
    corpus: str,
    labels: Sequence[tuple[str, ...]],
    folds: Sequence[str | None],
    splits: Sequence[str | None],
    groups: Sequence[str | None],
    *,
    test_folds: Sequence[str],
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
        number: of folds of our own.
        seed: of folds of our own.

    Returns:
        What was done, in words, and the folds.

    Raises:
        UserError: a fold that does not exist, or too few folds or clips.
    """
    everything = np.arange(len(labels))
    fold_of = np.array([fold or "" for fold in folds])
    split_of = np.array([split or "" for split in splits])
    inner = _InnerSplits(labels, groups, number, seed)
    known = sorted(set(fold_of.tolist()) - {""}, key=_natural)
    if test_folds:
        unknown = [fold for fold in test_folds if fold not in known]
        if unknown:
            raise UserError(
                f"probe.test_folds={list(test_folds)}: corpus {corpus!r} has no fold {unknown[0]!r}; "
                f"its folds are {', '.join(known) or 'none'}"
            )
        is_test = np.isin(fold_of, list(test_folds))
        train, test = everything[~is_test], everything[is_test]
        if not len(train):
            raise UserError(
                f"probe.test_folds={list(test_folds)} leaves no fold of corpus {corpus!r} to learn from"
            )
        return f"test on fold {', '.join(test_folds)}", [
            Fold(f"fold {', '.join(test_folds)}", train, inner.of(train, fold_of), test)
        ]
    if "test" in split_of and not known:
        train, test = everything[split_of != "test"], everything[split_of == "test"]
        if not len(train):
            raise UserError(f"corpus {corpus!r}: every clip is of split 'test'; none is left to learn from")
        chosen_on = everything[split_of == "validation"]
        validation = (
            ((np.setdiff1d(train, chosen_on), chosen_on),) if len(chosen_on) else inner.of(train, fold_of)
        )
        return "the given split", [Fold("test", train, validation, test)]
    if known:
        if "" in fold_of:
            raise UserError(
                f"corpus {corpus!r}: clip {int(np.argmax(fold_of == ''))} has no fold while others have one"
            )
        if len(known) < 2:
            raise UserError(
                f"corpus {corpus!r} has only fold {known[0]!r}; a probe needs at least two, or no fold column"
            )
        return f"{len(known)} official folds", [
            Fold(
                f"fold {name}",
                everything[fold_of != name],
                inner.of(everything[fold_of != name], fold_of),
                test,
            )
            for name in known
            if len(test := everything[fold_of == name])
        ]
    parts = inner.parts(everything, number)
    return f"{len(parts)} folds by class and source", [
        Fold(
            f"fold {n + 1}",
            np.setdiff1d(everything, test),
            inner.of(np.setdiff1d(everything, test), fold_of),
            test,
        )
        for n, test in enumerate(parts)
    ]


class _InnerSplits:
    """Splits within training clips, on which hyper-parameters are chosen."""

    def __init__(
        self, labels: Sequence[tuple[str, ...]], groups: Sequence[str | None], number: int, seed: int
    ) -> None:
        # A clip of several labels is put with the rarest of them, so that rare classes are spread as well.
        counts = Counter(label for clip in labels for label in clip)
        self._label = np.array(
            [min(clip, key=lambda name: (counts[name], name)) if clip else "" for clip in labels]
        )
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
            else self.parts(train, self._number)
        )
        return tuple((np.setdiff1d(train, part), part) for part in parts)

    def parts(self, clips: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
        """Disjoint parts with about equal shares of each class, no source in two of them."""
        from sklearn.model_selection import StratifiedGroupKFold

        sources_of_class: dict[str, set[str]] = {}
        for label, group in zip(self._label[clips].tolist(), self._group[clips].tolist(), strict=True):
            sources_of_class.setdefault(label, set()).add(group)
        # No more parts than the median class can fill; with one source a class nothing can be held out.
        fillable = int(np.median([len(sources) for sources in sources_of_class.values()]))
        if max(len(sources) for sources in sources_of_class.values()) < 2:
            return []
        splitter = StratifiedGroupKFold(max(2, min(number, fillable)), shuffle=True, random_state=self._seed)
        return [
            clips[test]
            for _, test in splitter.split(clips, self._label[clips], self._group[clips])
            if len(test)
        ]


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (10**9, name)
