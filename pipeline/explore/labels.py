"""Labels of rows, a person's and the table's own: in a CSV table beside that of embeddings, which a probe can read."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.pipeline.csv_cells import FORMULA_BEGINS
from echopair.pipeline.embedding_table import PLACES
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import locked, write_atomically

if TYPE_CHECKING:
    from echopair.pipeline.explore.table import ExploredTable

COLUMNS = (*PLACES, "label")
LONGEST_LABEL = 200
# Values of the column LABEL_FROM: where a label is from.
LABEL_FROM = "label_from"
PERSON, TABLE, OTHER_ROWS = "explore", "table", "other rows"

# Absolute path, and start and end in seconds as the CSV has them.
Place = tuple[str, str, str]


class LabelError(ValueError):
    """Labels that cannot be given, undone or learned from; the message says why."""


class Labels:
    """The labels of the rows of a table, in `TABLE.labels.csv` beside it.

    The file has all rows with a label: those that a person gave, and the table's own of other rows. Every change is
    written before it counts. Labels that were given to rows that the table does not have, as after other windows were
    chosen, stay in the file.

    Args:
        table: whose rows are labelled.

    Raises:
        UserError: a file of something else has the name of the labels.
    """

    def __init__(self, table: ExploredTable) -> None:
        self.file = table.file.with_suffix(".labels.csv")
        self._table = table
        self._places = [_place(*one) for one in table.excerpts]
        self._row_of = {place: row for row, place in enumerate(self._places)}
        self._given = _read(self.file)
        self._before: list[dict[int, str]] = []  # of each labelling, what its rows had been given
        if self._given or any(table.labels):
            self._change({})  # the table's own labels may have changed

    @property
    def of_other_rows(self) -> int:
        """Labels in the file whose rows are not in the table."""
        return len(self._given.keys() - self._row_of.keys())

    @property
    def undoable(self) -> int:
        """How many labellings can be undone, since the start."""
        return len(self._before)

    def given(self) -> dict[int, str]:
        """The label of each row that was given one, the oldest first."""
        return {self._row_of[place]: label for place, label in self._given.items() if place in self._row_of}

    def all(self) -> list[tuple[str, ...]]:
        """The labels of each row: the one that was given, else those of the table."""
        given = self.given()
        return [(given[row],) if row in given else own for row, own in enumerate(self._table.labels)]

    def give(self, rows: Iterable[int], label: str) -> None:
        """Label rows; an empty label takes away what was given.

        Raises:
            LabelError: the label is too long, or spreadsheets would run it or split it.
        """
        label = label.strip()
        if label.startswith(FORMULA_BEGINS):
            raise LabelError(f"a label begins with none of {' '.join(FORMULA_BEGINS)}")
        if len(label) > LONGEST_LABEL or not label.isprintable():
            raise LabelError(f"a label is one line of at most {LONGEST_LABEL} characters")
        self._before.append(self._change(dict.fromkeys(rows, label)))

    def undo(self) -> dict[int, str]:
        """Undo the last labelling; what its rows are given now, "" for nothing.

        Raises:
            LabelError: nothing was labelled since the start.
        """
        if not self._before:
            raise LabelError("nothing was labelled since `echopair explore` was started")
        self._change(self._before[-1])
        return self._before.pop()

    def _change(self, labels: Mapping[int, str]) -> dict[int, str]:
        """Give each of these rows its label, and write the file; returns what they had been given."""
        with locked(self.file):
            given = _read(self.file)  # another window of the browser may have written
            before = {row: given.get(self._places[row], "") for row in labels}
            for row, label in labels.items():
                if label:
                    given[self._places[row]] = label
                else:
                    given.pop(self._places[row], None)
            self._given = given
            write_atomically(self.file, self._text())
        return before

    def _text(self) -> str:
        """The content of the file: labels that were given, the oldest first, then the table's own."""
        lines: list[list[str]] = []
        folds = self._table.folds
        for place, label in self._given.items():
            row = self._row_of.get(place)
            fold = [folds[row] if row is not None else ""] if folds else []
            lines.append([*place, label, *fold, OTHER_ROWS if row is None else PERSON])
        own = (row for row, place in enumerate(self._places) if place not in self._given)
        lines += ([*line, TABLE] for line in self._lines(own, self._table.labels))
        return _csv_text((*self._columns, LABEL_FROM), lines)

    def csv_of(self, rows: Sequence[int]) -> str:
        """Rows as a CSV table, in which each label of a row has a line; with their fold if the table has folds."""
        labels = self.all()
        return _csv_text(self._columns, self._lines(rows, [one or ("",) for one in labels]))

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*COLUMNS, "fold") if self._table.folds else COLUMNS

    def _lines(self, rows: Iterable[int], labels: Sequence[tuple[str, ...]]) -> Iterator[list[str]]:
        folds = self._table.folds
        for row in rows:
            for label in labels[row]:
                yield [*self._places[row], label, *([folds[row]] if folds else [])]

    def corpus(self) -> dict[str, Any]:
        """The config of a corpus of all rows with a label."""
        config = corpus_config(self._table, self.file)
        return config | ({"where_not": {LABEL_FROM: OTHER_ROWS}} if self.of_other_rows else {})


def _place(path: str, start_seconds: float, end_seconds: float) -> Place:
    return str(Path(path).absolute()), f"{start_seconds:.6f}", f"{end_seconds:.6f}"


def _read(file: Path) -> dict[Place, str]:
    """The labels that were given; in files of earlier versions, without the column LABEL_FROM, these are all."""
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as text:
            header, *rows = csv.reader(text, strict=True)
        if tuple(header[: len(COLUMNS)]) != COLUMNS or not {*header} <= {*COLUMNS, "fold", LABEL_FROM}:
            raise ValueError("other columns")
        cells = (dict(zip(header, row, strict=True)) for row in rows)
        return {
            (one["path"], one["start_seconds"], one["end_seconds"]): one["label"]
            for one in cells
            if one.get(LABEL_FROM) != TABLE
        }
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{file} has no labels of `echopair explore` ({error}), which would write its own there; move it away"
        ) from error


def _csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def corpus_config(table: ExploredTable, file: Path) -> dict[str, Any]:
    """The config of a corpus that reads a CSV table of rows; a corpus's paths are below a folder.

    Args:
        table: of embeddings.
        file: the CSV table.
    """
    folders = {str(Path(one).absolute().parent) for one in table.recordings}
    config = {
        "name": "table",
        "root": os.path.commonpath(folders),
        "table": str(file.absolute()),
        "path": "{path}",
        "label": "label",
        "begin": "start_seconds",
        "end": "end_seconds",
    }
    if any(len(one) > 1 for one in table.labels):
        # Each has a line, and may have a comma.
        config |= {"labels": config.pop("label"), "label_separator": "\t"}
    if all(table.folds) and len(set(table.folds)) > 1:
        config["fold"] = "fold"
    return config
