"""A corpus that a CSV or TSV lists: one row per recording, configurable columns."""

import csv
import string
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from echopair.pipeline.corpora.folder import existing_folder
from echopair.pipeline.corpora.recording import Recording, Split
from echopair.pipeline.errors import UserError, did_you_mean

SPLIT_SYNONYMS = {"val": "validation", "valid": "validation", "training": "train", "eval": "test"}
ROWS_NAMED_IN_ERRORS = 3


Cell = Annotated[str, Field(coerce_numbers_to_str=True)]  # YAML reads 1 as a number, a table as text


class TableConfig(BaseModel, frozen=True, extra="forbid"):
    """One table and the meaning of its columns."""

    table: str = Field("labels.csv", description="the CSV or TSV, below the corpus's root")
    path: str = Field(
        "{path}",
        description="the recording's path below the root; {column} is replaced by that column's value",
    )
    label: str | None = Field(None, description="column with the single label of a clip")
    labels: str | None = Field(None, description="column with several labels of a clip")
    label_separator: str = Field(",", min_length=1, description="what separates several labels")
    fold: str | None = Field(None, description="column with the fold")
    split: str | None = Field(
        None, description="column with train, validation or test; without it, `all_split` applies"
    )
    all_split: Split | None = Field(None, description="the split of every row of this table")
    group: str | None = Field(
        None, description="column with the source; clips of one source stay in one fold"
    )
    where: dict[str, Cell | tuple[Cell, ...]] = Field(
        {}, description="only rows in which each of these columns has this value, or one of these"
    )

    @model_validator(mode="after")
    def _one_kind_of_label(self) -> "TableConfig":
        if self.label is not None and self.labels is not None:
            raise ValueError(
                f"give label={self.label} for one label per clip or labels={self.labels} for several, not both"
            )
        return self

    @field_validator("path")
    @classmethod
    def _path_is_a_template(cls, path: str) -> str:
        if not template_columns(path):
            raise ValueError(
                f"{path!r} contains no column; write for instance {{path}} or audio/{{filename}}"
            )
        return path

    @property
    def columns(self) -> dict[str, str]:
        """The required columns, and the key that names each."""
        named = {
            "label": self.label,
            "labels": self.labels,
            "fold": self.fold,
            "split": self.split,
            "group": self.group,
        }
        columns = {column: key for key, column in named.items() if column is not None}
        columns |= dict.fromkeys(template_columns(self.path), "path")
        return columns | dict.fromkeys(self.where, "where")


class TableCorpusConfig(TableConfig, frozen=True, extra="forbid"):
    """Recordings that a table lists; further tables add to it, fallbacks replace a missing `table`."""

    name: Literal["table"] = "table"
    root: Path = Field(description="the folder that paths and tables are relative to")
    further_tables: tuple[TableConfig, ...] = Field((), description="more tables of the same corpus")
    fallbacks: tuple[TableConfig, ...] = Field(
        (), description="other layouts, tried in order if `table` does not exist"
    )
    allow_missing_files: bool = Field(
        False, description="count rows without a file as refused recordings instead of raising an error"
    )

    def layouts(self) -> list[tuple[TableConfig, ...]]:
        """The possible layouts of this corpus, in order of preference."""
        return [(self, *self.further_tables), *((fallback,) for fallback in self.fallbacks)]


def template_columns(template: str) -> list[str]:
    """The columns in a path template."""
    try:
        return [field for _, field, _, _ in string.Formatter().parse(template) if field]
    except ValueError:
        return []


def find_table_recordings(corpus: str, config: TableCorpusConfig) -> list[Recording]:
    """List the recordings of the first layout whose tables all exist, in the order of their rows.

    Raises:
        UserError: a table or column is missing, a table is empty, or a row has no file or is a duplicate.
    """
    root = existing_folder(corpus, config.root)
    for layout in config.layouts():
        if all((root / table.table).is_file() for table in layout):
            recordings = [recording for table in layout for recording in _read_table(corpus, root, table)]
            break
    else:
        wanted = " or ".join(" and ".join(table.table for table in layout) for layout in config.layouts())
        raise UserError(
            f"corpora.{corpus}.root={root} has no {wanted}; name another root or set corpora.{corpus}.table"
        )
    seen: set[str] = set()
    for recording in recordings:
        if recording.name in seen:
            raise UserError(f"corpora.{corpus}: {recording.name} is in two rows of its table; remove one")
        seen.add(recording.name)
    missing = [recording.name for recording in recordings if not recording.path.exists()]
    if missing and not config.allow_missing_files:
        raise UserError(
            f"corpora.{corpus}.root={root}: {len(missing)} of {len(recordings)} rows have no file, "
            f"{', '.join(missing[:ROWS_NAMED_IN_ERRORS])}{', ...' if len(missing) > ROWS_NAMED_IN_ERRORS else ''}; "
            f"correct the paths or set corpora.{corpus}.allow_missing_files=true to count them as refused"
        )
    return recordings


def _read_table(corpus: str, root: Path, table: TableConfig) -> list[Recording]:
    file = root / table.table
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            delimiter = "\t" if file.suffix.lower() in (".tsv", ".tab") else ","
            reader = csv.DictReader(lines, delimiter=delimiter)
            header = list(reader.fieldnames or ())
            for column, key in table.columns.items():
                if column not in header:
                    hint = did_you_mean(column, header) or f"; its columns are {', '.join(header) or 'none'}"
                    raise UserError(f"corpora.{corpus}.{key}: {file} has no column {column!r}{hint}")
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(
            f"corpora.{corpus}.table: {file} cannot be read as a table in UTF-8: {error}"
        ) from error
    wanted = [
        _recording(corpus, root, table, line, row)
        for line, row in rows
        if all(
            row[column] in ((value,) if isinstance(value, str) else value)
            for column, value in table.where.items()
        )
    ]
    if not wanted:
        where = f" with {table.where}" if table.where else ""
        raise UserError(f"corpora.{corpus}.table: {file} has no rows{where}; add rows or name another table")
    return wanted


def _recording(
    corpus: str, root: Path, table: TableConfig, line: int, row: dict[str, str | None]
) -> Recording:
    def value(column: str | None) -> str | None:
        return (row[column] or "").strip() or None if column is not None else None

    cells = {column: value(column) for column in table.columns}
    for column in template_columns(table.path):
        if cells[column] is None:
            raise UserError(
                f"corpora.{corpus}.table: {root / table.table}, line {line}: column {column!r} is empty"
            )
    name = table.path.format_map({column: cell or "" for column, cell in cells.items()})
    labels: tuple[str, ...] = ()
    if table.labels is not None:
        parts = (part.strip() for part in (value(table.labels) or "").split(table.label_separator))
        labels = tuple(sorted({part for part in parts if part}))
    elif (label := value(table.label)) is not None:
        labels = (label,)
    split = value(table.split) or table.all_split
    split = SPLIT_SYNONYMS.get(split.lower(), split.lower()) if split is not None else None
    if split is not None and split not in get_args(Split):
        raise UserError(
            f"corpora.{corpus}.split: {root / table.table}, line {line}: {split!r} is not a split; "
            f"write {', '.join(get_args(Split))}"
        )
    return Recording(
        root / name, name, labels, value(table.fold), cast(Split | None, split), value(table.group)
    )
