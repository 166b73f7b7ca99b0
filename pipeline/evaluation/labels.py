"""Labels of a corpus: whether a probe can learn them, and the targets that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.corpora import Recording


def check_labelled(
    config: RunConfig, recordings: Mapping[str, Sequence[Recording]], corpora: Iterable[str]
) -> None:
    """Refuse corpora with labels that cannot be learned from, and test folds that do not exist.

    Raises:
        UserError: names the corpus or the key.
    """
    for corpus in sorted(corpora):
        found = recordings[corpus]
        check_labels(corpus, [one.labels for one in found], [one.name for one in found])
        folds = {one.fold for one in found if one.fold}
        missing = [fold for fold in config.probe.test_folds if fold not in folds]
        if missing and corpus in config.probe_corpora:
            raise UserError(
                f"probe.test_folds: corpus {corpus!r} has no fold {missing[0]!r}; its folds are "
                f"{', '.join(sorted(folds)) or 'none'}"
            )


def check_labels(corpus: str, labels: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """Refuse, before any long work, clips that no probe can learn from.

    Raises:
        UserError: a clip without label, one class only, or a class with one clip.
    """
    unlabelled = [name for name, clip in zip(names, labels, strict=True) if not clip]
    if unlabelled:
        raise UserError(
            f"corpus {corpus!r}: {len(unlabelled)} of {len(names)} recordings have no label, first {unlabelled[0]}, "
            f"and a probe needs labels; label them, name in probe.corpora the corpora that have labels, or set "
            f"corpora.{corpus}.labels=none for a folder that has none"
        )
    counts = Counter(label for clip in labels for label in clip)
    if len(counts) < 2:
        raise UserError(
            f"corpus {corpus!r}: every recording is labelled {next(iter(counts))!r}, and a probe tells classes "
            f"apart; add another class, or take {corpus} out of probe.corpora"
        )
    for name, clip in zip(names, labels, strict=True):
        for label in clip:
            if counts[label] < 2:
                raise UserError(
                    f"corpus {corpus!r}: class {label!r} has one clip, {name}, and a probe needs one to learn from and "
                    "one to test on; add another or remove the class"
                )


def label_targets(labels: Sequence[tuple[str, ...]]) -> tuple[list[str], NDArray[np.int8]]:
    """The classes in alphabetical order, and (clips, classes) of 0 and 1."""
    classes = sorted({label for clip in labels for label in clip})
    position = {name: number for number, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=np.int8)
    for row, clip in enumerate(labels):
        targets[row, [position[label] for label in clip]] = 1
    return classes, targets
