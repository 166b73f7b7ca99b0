"""`echopair label`: a table of embeddings + a trained classifier -> labels and probabilities of each window."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from echopair.lazy import np
from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.embedding_table import (
    PLACES,
    TableInfo,
    embedding_batches,
    read_info,
    table_columns,
    table_rows,
)
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.trained_classifier import TrainedClassifier
from echopair.pipeline.label_tracks import LabelFormat, Span, spans, track_paths, write_audacity, write_raven
from echopair.pipeline.progress import console, progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

GIVEN = ("labels", "fold")  # columns of a table that are kept


class Labelled(NamedTuple):
    """What `label` wrote.

    Args:
        out: the file, or the folder of tracks.
        windows: of the table.
        counts: number of windows with each label.
        unlabelled: number of windows without any.
    """

    out: Path
    windows: int
    counts: Counter[str]
    unlabelled: int


@dataclass(frozen=True)
class _Batch:
    """Windows of a table, (N,) each; probabilities (N, K)."""

    paths: list[str]
    starts: list[float]
    ends: list[float]
    given: dict[str, list[Any]]  # columns that the table has: labels and fold
    labels: list[list[str]]
    probabilities: NDArray[np.float32]

    @property
    def highest(self) -> NDArray[np.float32]:
        """The probability of the most probable class of each window."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return highest


def label(
    table: Path,
    classifier_file: Path,
    form: LabelFormat = LabelFormat.CSV,
    out: Path | None = None,
    min_probability: float = 0.5,
) -> Labelled:
    """Classify every window of a table of embeddings.

    A window has the label that is most probable, or with a classifier of several labels each one, if its
    probability is at least `min_probability`.

    Args:
        table: that `echopair apply` or a run wrote.
        classifier_file: that a run with the same encoder wrote.
        form: CSV: labels and fold of the table, where it has them, the labels that are given here as `predicted`, the
            highest probability, and a column of probabilities for each class; Parquet: the same, with a struct of
            probabilities; Raven or Audacity: windows of one label that overlap or touch are joined, and those without
            a label are left out.
        out: a file or, for tracks, a folder, which must not exist; by default named after the table.
        min_probability: 0 to 1.

    Raises:
        UserError: no table, no classifier, one of another encoder, or something in the way of `out`.
    """
    info = read_info(table)
    classifier = TrainedClassifier.load(classifier_file)
    is_tracks = form in (LabelFormat.RAVEN, LabelFormat.AUDACITY)
    out = out or table.with_name(f"{table.stem}.{form}" if is_tracks else f"{table.stem}.predictions.{form}")
    if out.exists():
        raise UserError(f"{out} exists; delete it, or name another by --out")
    if classifier.info.encoder_sha256 != info.encoder_sha256:
        raise UserError(
            f"{classifier_file} was trained on embeddings of another encoder than those of {table}; apply the encoder "
            "of the classifier's run"
        )
    seconds, learned = info.window_seconds, classifier.info.clip_seconds
    if seconds is not None and not learned / 2 <= seconds <= 2 * learned:
        console.print(
            f"label: the windows are {seconds:g} s long, and the classifier learned from clips of {learned:g} s; its "
            f"probabilities are better on windows of that length: echopair apply --window {learned:g}",
            style="yellow",
        )
    aside = out.with_name(out.name + ".new")
    if aside.is_dir():  # left by a killed process
        shutil.rmtree(aside)
    given = [name for name in GIVEN if name in table_columns(table)]
    counts: Counter[str] = Counter()
    batches = _count(_classified(table, classifier, min_probability, given), counts)
    match form:
        case LabelFormat.CSV:
            _write_csv(aside, batches, classifier.info.classes, given)
        case LabelFormat.PARQUET:
            _write_parquet(aside, batches, classifier, given)
        case LabelFormat.RAVEN | LabelFormat.AUDACITY:
            _write_tracks(aside, batches, form, classifier, info)
    aside.replace(out)
    unlabelled = counts.pop("", 0)
    return Labelled(out, table_rows(table), counts, unlabelled)


def _classified(
    table: Path, classifier: TrainedClassifier, min_probability: float, given: Sequence[str]
) -> Iterator[_Batch]:
    classes = classifier.info.classes
    with progress_bar("label", table_rows(table), "windows") as advance:
        for rows, embeddings in embedding_batches(table, [*PLACES, *given]):
            probabilities = classifier.probabilities(embeddings)
            chosen = probabilities >= min_probability
            if not classifier.info.multilabel:
                chosen &= np.arange(len(classes)) == probabilities.argmax(1)[:, None]
            labels = [[classes[column] for column in np.flatnonzero(row)] for row in chosen]
            paths, starts, ends = (rows[name].to_pylist() for name in PLACES)
            kept = {name: rows[name].to_pylist() for name in given}
            yield _Batch(paths, starts, ends, kept, labels, probabilities)
            advance(len(labels))


def _count(batches: Iterable[_Batch], counts: Counter[str]) -> Iterator[_Batch]:
    for batch in batches:
        counts.update(name for names in batch.labels for name in names or [""])
        yield batch


def _write_csv(file: Path, batches: Iterable[_Batch], classes: Iterable[str], given: Sequence[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        each = [csv_cell(f"probability_{name}") for name in classes]
        writer.writerow([*PLACES, *given, "predicted", "highest_probability", *each])
        for batch in batches:
            for row, (path, start, end) in enumerate(zip(batch.paths, batch.starts, batch.ends, strict=True)):
                kept = [csv_cell(_in_one_cell(batch.given[name][row])) for name in given]
                predicted = csv_cell(_in_one_cell(batch.labels[row]))
                values = [batch.highest[row], *batch.probabilities[row]]
                place = [csv_cell(path), f"{start:.3f}", f"{end:.3f}"]
                writer.writerow([*place, *kept, predicted, *(f"{value:.4f}" for value in values)])


def _in_one_cell(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else value or ""


def _write_parquet(
    file: Path, batches: Iterable[_Batch], classifier: TrainedClassifier, given: Sequence[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    classes = pa.struct([(name, pa.float32()) for name in classifier.info.classes])
    types = {"labels": pa.list_(pa.string()), "fold": pa.string()}
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("start_seconds", pa.float64()),
            ("end_seconds", pa.float64()),
            *((name, types[name]) for name in given),
            ("predicted", pa.list_(pa.string())),
            ("highest_probability", pa.float32()),
            ("probabilities", classes),
        ]
    )
    with pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            columns = list(np.ascontiguousarray(batch.probabilities.T))
            probabilities = pa.StructArray.from_arrays(
                [pa.array(one) for one in columns], fields=list(classes)
            )
            kept = [batch.given[name] for name in given]
            places = [batch.paths, batch.starts, batch.ends]
            values = [*places, *kept, batch.labels, batch.highest, probabilities]
            writer.write_table(pa.table(dict(zip(schema.names, values, strict=True)), schema=schema))


def _write_tracks(
    folder: Path, batches: Iterable[_Batch], form: LabelFormat, classifier: TrainedClassifier, info: TableInfo
) -> None:
    column = {name: number for number, name in enumerate(classifier.info.classes)}
    windows: dict[str, list[Span]] = defaultdict(list)
    for batch in batches:
        for path, start, end, names, row in zip(
            batch.paths, batch.starts, batch.ends, batch.labels, batch.probabilities, strict=True
        ):
            windows[path] += [Span(name, start, end, float(row[column[name]])) for name in names]
    extension = ".selections.txt" if form == LabelFormat.RAVEN else ".txt"
    for recording, file in track_paths(list(windows), extension).items():
        labelled = spans(windows[recording])
        if form == LabelFormat.RAVEN:
            low_hz, high_hz = (float(info.encoder["log_mel"][key]) for key in ("min_hz", "max_hz"))
            write_raven(folder / file, labelled, low_hz, high_hz)
        else:
            write_audacity(folder / file, labelled)
