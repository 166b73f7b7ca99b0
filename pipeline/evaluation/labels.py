"""Labels of a corpus: whether a probe can learn them, and the targets that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from echopair.lazy import np
from echopair.pipeline.errors import UserError, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.corpora import Recording


class Annotations(Protocol):
    """What is known of the clips of a corpus beside their sound: a `ClipStore`, or `ListedRecordings`."""

    def labels(self) -> list[tuple[str, ...]]:
        """The labels of each clip, none or several."""

    def column(self, name: str) -> list[str | None]:
        """One value a clip: path, fold, split, group, samples_sha256 or sound."""


class ListedRecordings:
    """Annotations of recordings that are not decoded yet; their samples are unknown, and most refusals too."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = [one for one in recordings if not one.refusal]

    def labels(self) -> list[tuple[str, ...]]:
        """See `Annotations`."""
        return [one.labels for one in self._recordings]

    def column(self, name: str) -> list[str | None]:
        """See `Annotations`."""
        if name in ("samples_sha256", "sound"):
            return [None] * len(self._recordings)
        return [getattr(one, "name" if name == "path" else name) for one in self._recordings]


def check_labels(corpus: str, clips: Annotations) -> None:
    """Refuse, before any long work, clips that no probe can learn from.

    Raises:
        UserError: a clip without label, one class only, or a class with one clip.
    """
    labels, names = clips.labels(), clip_names(clips)
    unlabelled = [name for name, clip in zip(names, labels, strict=True) if not clip]
    if unlabelled:
        raise UserError(
            f"corpus {corpus!r}: {len(unlabelled)} of {len(names)} recordings have no label, first {unlabelled[0]}, "
            f"and a probe needs labels; label them, name in probe.corpora the corpora that have labels, or set "
            f"corpora.{corpus}.labels=none for a folder that has none"
        )
    counts = Counter(label for clip in labels for label in clip)
    if len(set(map(frozenset, labels))) < 2:
        raise UserError(
            f"corpus {corpus!r}: every recording is labelled {listed(quoted(labels[0]))}, and a probe tells classes "
            f"apart; add another class, or take {corpus} out of probe.corpora"
        )
    single = {
        label: name for name, clip in zip(names, labels, strict=True) for label in clip if counts[label] < 2
    }
    if single:
        classes = [f"{label!r} ({name})" for label, name in single.items()]
        raise UserError(
            f"corpus {corpus!r}: {'class' if len(single) == 1 else f'{len(single)} classes,'} {listed(classes)} "
            f"{'has' if len(single) == 1 else 'have'} one clip, and a probe needs one to learn from and one to test "
            "on; add another or remove the class"
        )


def lost_by_refusals(recordings: Annotations, clips: Annotations) -> list[str]:
    """Classes, folds and splits that have no clip left, and classes that have one: "class 'lynx' (1 of 2 left)".

    Args:
        recordings: all that the corpus lists.
        clips: those that were decoded.
    """
    lost = []
    for kind, fewest in (("class", 2), ("fold", 1), ("split", 1)):
        before, after = (_counts(kind, one) for one in (recordings, clips))
        lost += [
            f"{kind} {name!r} ({after[name] or 'none'} of {number} left)"
            for name, number in sorted(before.items())
            if after[name] < min(fewest, number)
        ]
    return lost


def _counts(kind: str, clips: Annotations) -> Counter[str]:
    if kind == "class":
        return Counter(label for names in clips.labels() for label in names)
    return Counter(value for value in clips.column(kind) if value)


def class_sets(labels: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """(clips,) a number for each set of labels; where all are equal there is nothing to learn."""
    numbers: dict[frozenset[str], int] = {}
    return np.array([numbers.setdefault(frozenset(clip), len(numbers)) for clip in labels])


def clip_names(clips: Annotations) -> list[str]:
    """What messages call each clip: its path below the corpus's root."""
    return [path or f"clip {number}" for number, path in enumerate(clips.column("path"))]


def quoted(names: Iterable[str]) -> list[str]:
    """Each name in quotation marks."""
    return [repr(name) for name in names]


def sources_of(groups: Sequence[str | None], sounds: Sequence[str | None]) -> list[str]:
    """The source of each clip: its group, or itself without one; two that hold one sound are one source.

    Args:
        groups: of each clip, the column `group`.
        sounds: of each clip, the column `sound`.
    """
    merged: dict[str, str] = {}

    def source(name: str) -> str:
        while name in merged:
            name = merged[name]
        return name

    names = [group or f"clip {number}" for number, group in enumerate(groups)]
    source_with: dict[str, str] = {}
    for name, sound in zip(names, sounds, strict=True):
        if sound is not None:
            one, other = source(source_with.setdefault(sound, name)), source(name)
            if one != other:
                merged[other] = one
    return [source(name) for name in names]


def label_targets(labels: Sequence[tuple[str, ...]]) -> tuple[list[str], NDArray[np.int8]]:
    """The classes in alphabetical order, and (clips, classes) of 0 and 1."""
    classes = sorted({label for clip in labels for label in clip})
    position = {name: number for number, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=np.int8)
    for row, clip in enumerate(labels):
        targets[row, [position[label] for label in clip]] = 1
    return classes, targets
