"""The classifier on a person's labels, for `echopair label`, and its score on recordings that it did not learn from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embedding_table import embedding_batches
from echopair.pipeline.errors import UserError, listed
from echopair.pipeline.evaluation.bootstrap import Interval, accuracy_interval, average_precision_interval
from echopair.pipeline.evaluation.folds import Fold, find_test_splits, make_folds, never_learned
from echopair.pipeline.evaluation.labels import class_sets, label_targets, sources_of
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.evaluation.trained_classifier import (
    CLASSIFIER_FILE,
    TrainedClassifier,
    train_classifier,
)
from echopair.pipeline.explore.labels import LabelError
from echopair.pipeline.explore.suggestions import C
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.explore.table import ExploredTable

SEED = 0  # of the folds: the same labels give the same score


@dataclass(frozen=True)
class LabelledRows:
    """The rows with a label, as `Annotations`: a recording is a source, so that no fold splits it.

    Args:
        table: of embeddings.
        rows: numbers of those with a label.
        of_table: labels of each row of the table.
    """

    table: ExploredTable
    rows: Sequence[int]
    of_table: Sequence[tuple[str, ...]]

    def labels(self) -> list[tuple[str, ...]]:
        """See `Annotations`."""
        return [self.of_table[row] for row in self.rows]

    def column(self, name: str) -> list[str | None]:
        """See `Annotations`; folds only if every row has one and they are several."""
        if name in ("path", "group"):
            return [self.table.excerpts[row].path for row in self.rows]
        folds = [self.table.folds[row] for row in self.rows] if name == "fold" and self.table.folds else []
        return [*folds] if all(folds) and len(set(folds)) > 1 else [None] * len(self.rows)


class Tested(NamedTuple):
    """What a cross-validation over recordings found.

    Args:
        metric: in words.
        protocol: in words.
        score: 0 to 1.
        interval: 95 % of the score, if there are recordings enough.
        chance: score without listening.
        never_learned: classes that it cannot be right about, with the reason.
        C: that each fold chose.
        folds: of the rows.
    """

    metric: str
    protocol: str
    score: float
    interval: Interval | None
    chance: float
    never_learned: list[str]
    C: list[float]
    folds: list[Fold]


def save_classifier(table: ExploredTable, labels: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Fit a classifier on all rows with a label and write it to `TABLE.classifier.safetensors` beside the table.

    C is chosen by cross-validation over whole recordings, or over the table's folds.

    Args:
        table: of embeddings.
        labels: of each of its rows, none or several.

    Returns:
        `said`: where it is and how good, in words; `command`: that uses it.

    Raises:
        LabelError: fewer than two different labels.
        UserError: a file of something else has the name of the classifier.
    """
    known = LabelledRows(table, [row for row, own in enumerate(labels) if own], labels)
    if len(np.unique(class_sets(known.labels()))) < 2:
        raise LabelError("a classifier tells labels apart: give two different ones")
    file = table.file.with_suffix(f".{CLASSIFIER_FILE}")
    if file.exists():
        TrainedClassifier.load(file)  # refuses to replace something else
    embeddings = _embeddings(table.file, known.rows)
    classes, targets = label_targets(known.labels())
    multilabel = bool(targets.sum(1).max() > 1)
    try:
        tested = _tested(known, embeddings, targets, multilabel)
    except UserError:  # the recordings of a class are too few to leave some out
        tested = None
    everything = np.arange(len(known.rows))
    folds = tested.folds if tested else [Fold("none", everything, (), everything[:0])]
    found = train_classifier(
        table.file.stem, classes, embeddings, targets, folds, tested.C if tested else [C], multilabel
    )
    seconds = [table.excerpts[row].end_seconds - table.excerpts[row].start_seconds for row in known.rows]
    aside = file.with_name(file.name + ".new")
    found.described(table.info.encoder_sha256, float(np.median(seconds))).save(aside)
    aside.replace(file)
    return {
        "said": f"{file.name} is saved beside the table. {_in_words(tested)}",
        "command": shlex.join(["echopair", "label", str(table.file), str(file)]),
    }


def _embeddings(file: Path, rows: Sequence[int]) -> NDArray[np.float32]:
    """Embeddings of some rows, (N, D), as the encoder made them."""
    found, first = [], 0
    ordered = np.array(rows)  # ascending
    for _, part in embedding_batches(file):
        inside = ordered[(ordered >= first) & (ordered < first + len(part))]
        found.append(part[inside - first])
        first += len(part)
    return np.concatenate(found)


def _tested(
    known: LabelledRows, embeddings: NDArray[np.float32], targets: NDArray[np.int8], multilabel: bool
) -> Tested:
    """Cross-validate.

    Raises:
        UserError: too few recordings.
    """
    from echopair.pipeline.evaluation.linear_classifier import fit_fold

    name, config = known.table.file.stem, ProbeConfig()
    unlearned = never_learned(known, find_test_splits(name, known, config, SEED))
    protocol, folds = make_folds(name, known, config, SEED)
    with progress_bar("classifier", len(folds), "folds") as advance:
        fits = []
        for fold in folds:
            fits.append(fit_fold(embeddings, targets, fold, config.C, multilabel))
            advance()
    rows = np.concatenate([fold.test for fold in folds])
    numbers = np.concatenate([np.full(len(fold.test), n) for n, fold in enumerate(folds)])
    groups = sources_of(known.column("group"), known.column("sound"))
    sources = np.unique(groups, return_inverse=True)[1][rows]
    scores, true = np.concatenate([fit.scores for fit in fits]), targets[rows]
    shares = true.mean(0)
    if multilabel:
        metric, chance = "mean average precision", float(shares[shares > 0].mean())
        score, interval = average_precision_interval(scores, true, sources, config.bootstrap_samples, SEED)
    else:
        metric, chance = "accuracy", float(shares.max())
        correct = scores.argmax(1) == true.argmax(1)
        score = float(np.mean([correct[numbers == n].mean() for n in range(len(folds))]))
        interval = accuracy_interval(correct, numbers, sources)
    return Tested(metric, protocol, score, interval, chance, unlearned, [fit.c for fit in fits], folds)


def _in_words(tested: Tested | None) -> str:
    if tested is None:
        return "Its accuracy is unknown: that needs each label in several recordings."
    spread = (
        f" (95 % interval {tested.interval[0]:.0%} to {tested.interval[1]:.0%})" if tested.interval else ""
    )
    unlearned = (
        f" It could not be tested on {listed(tested.never_learned)}; label these in other recordings too."
        if tested.never_learned
        else ""
    )
    return (
        f"Cross-validated {tested.metric} on whole recordings that it did not learn from: {tested.score:.0%}{spread}, "
        f"{tested.protocol}; without listening {tested.chance:.0%}.{unlearned}"
    )
