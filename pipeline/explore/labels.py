"""Labels that a person gives to rows: in a small CSV table beside the table of embeddings, which a probe can read."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.csv_cells import FORMULA_BEGINS
from echopair.pipeline.embedding_table import PLACES
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import locked, write_atomically

if TYPE_CHECKING:
    from echopair.pipeline.explore.table import ExploredTable

COLUMNS = (*PLACES, "label")
LONGEST_LABEL = 200

# Absolute path, and start and end in seconds as the CSV has them.
Place = tuple[str, str, str]


class LabelError(ValueError):
    """A label that cannot be given; the message says why."""


class Labels:
    """The labels that were given to rows of a table, in `TABLE.labels.csv` beside it.

    Every change is written before it counts. Labels of rows that the table does not have, as after other windows were
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
        self._given = _read(self.file)

    @property
    def of_other_rows(self) -> int:
        """Labels in the file whose rows are not in the table."""
        return len(self._given.keys() - set(self._places))

    def given(self) -> dict[int, str]:
        """The label of each row that was given one."""
        return {row: self._given[place] for row, place in enumerate(self._places) if place in self._given}

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
        with locked(self.file):
            given = _read(self.file)  # another window of the browser may have written
            for row in rows:
                given.pop(self._places[row], None)
                if label:
                    given[self._places[row]] = label
            write_atomically(self.file, _csv_text(COLUMNS, ([*place, one] for place, one in given.items())))
        self._given = given

    def csv_of(self, rows: Sequence[int]) -> str:
        """Rows as a CSV table, in which each label of a row has a line; with their fold if the table has folds."""
        labels, folds = self.all(), self._table.folds
        return _csv_text(
            (*COLUMNS, "fold") if folds else COLUMNS,
            (
                [*self._places[row], label, *([folds[row]] if folds else [])]
                for row in rows
                for label in labels[row] or ("",)
            ),
        )


def _place(path: str, start_seconds: float, end_seconds: float) -> Place:
    return str(Path(path).absolute()), f"{start_seconds:.6f}", f"{end_seconds:.6f}"


def _read(file: Path) -> dict[Place, str]:
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as text:
            header, *rows = csv.reader(text, strict=True)
        if tuple(header) != COLUMNS:
            raise ValueError("other columns")
        return {(path, start, end): label for path, start, end, label in rows}
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{file} has no labels of `echopair explore` ({error}), which would write its own there; move it away"
        ) from error


def _csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def corpus_config(recordings: Sequence[str], table: Path) -> Mapping[str, str]:
    """The config of a corpus that reads a CSV table of these rows; a corpus's paths are below a folder.

    Args:
        recordings: of the table of embeddings, all or some.
        table: the CSV table.
    """
    folders = {str(Path(one).absolute().parent) for one in recordings}
    return {
        "name": "table",
        "root": os.path.commonpath(folders),
        "table": str(table.absolute()),
        "path": "{path}",
        "labels": "label",
        "begin": "start_seconds",
        "end": "end_seconds",
    }
