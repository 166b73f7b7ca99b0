"""What the config says about the tables of a corpus: their columns and the layouts of a corpus."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from echopair.pipeline.corpora.recording import Root, Split
from echopair.pipeline.corpora.table_rows import TableFormat

Cell = Annotated[str, Field(coerce_numbers_to_str=True)]  # Python may give 1, a table holds text

TABLE_NAME = "*"  # in a path, stands for what * stands for in the table's name
_PLACES = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class TableConfig(TableFormat, BaseModel, frozen=True, extra="forbid"):
    """One table and the meaning of its columns."""

    table: str = Field(
        "labels.csv",
        description="the CSV or TSV, below the corpus's root; one * in its name stands for anything: several tables",
    )
    path: str = Field(
        "{path}",
        description="the recording's path below the root; {column} is replaced by that column's value, {*} by what "
        "* stands for in the table's name",
    )
    label: str | None = Field(None, description="column with the single label of a clip")
    labels: str | None = Field(None, description="column with several labels of a clip")
    label_separator: str = Field(",", min_length=1, description="what separates several labels")
    begin: str | None = Field(
        None,
        description="column with the second at which an event begins; with `end` or `duration`, each row is an excerpt",
    )
    end: str | None = Field(None, description="column with the second at which an event ends")
    duration: str | None = Field(
        None, description="column with the seconds that an event lasts, in place of `end`"
    )
    fold: str | None = Field(None, description="column with the fold")
    split: str | None = Field(
        None, description="column with train, validation or test; where it is empty, `all_split` applies"
    )
    all_split: Split | None = Field(None, description="the split of every row of this table")
    group: str | None = Field(
        None, description="column with the source; clips of one source stay in one fold"
    )
    where: dict[str, Cell | tuple[Cell, ...]] = Field(
        {}, description="only rows in which each of these columns has this value, or one of these"
    )
    where_not: dict[str, Cell | tuple[Cell, ...]] = Field(
        {},
        description="only rows in which none of these columns has this value, or one of these; '' is an empty cell",
    )

    @model_validator(mode="after")
    def _columns_fit(self) -> "TableConfig":
        if self.label is not None and self.labels is not None:
            raise ValueError(
                f"give label={self.label} for one label per clip or labels={self.labels} for several, not both"
            )
        if (self.begin is not None) != ((self.end is not None) != (self.duration is not None)) or (
            self.end is not None and self.duration is not None
        ):
            raise ValueError(
                "give begin and end, or begin and duration, the columns with the seconds of an event"
            )
        if self.table.count("*") > 1:
            raise ValueError(f"table={self.table!r}: only one * may stand for a part of a table's name")
        if TABLE_NAME in _names(self.path) and "*" not in self.table:
            raise ValueError(
                f"path={self.path!r}: {{*}} needs a table whose name has a *, not {self.table!r}"
            )
        return self

    @field_validator("path")
    @classmethod
    def _path_is_a_template(cls, path: str) -> str:
        if not _names(path) or re.search("[{}]", _PLACES.sub("", path)):
            raise ValueError(
                f"{path!r} contains no column, or a brace of none; write for instance {{path}} or audio/{{filename}}"
            )
        return path

    @property
    def used_columns(self) -> dict[str, str]:
        """The required columns, and the key that names each."""
        keys = ("label", "labels", "begin", "end", "duration", "fold", "split", "group")
        columns = {column: key for key in keys if (column := getattr(self, key)) is not None}
        columns |= dict.fromkeys(self.path_columns, "path")
        return columns | dict.fromkeys(self.where_not, "where_not") | dict.fromkeys(self.where, "where")

    @property
    def file_columns(self) -> list[str]:
        """The columns that the name of the recording's file is made of."""
        return [name for name in _names(self.path.rpartition("/")[2]) if name != TABLE_NAME]

    @property
    def path_columns(self) -> list[str]:
        """The columns that the path is made of."""
        return [name for name in _names(self.path) if name != TABLE_NAME]

    def path_of(self, cells: Mapping[str, str], table_name: str) -> str:
        """The path that a row names; `table_name` is what * stands for in the name of its table."""
        values = {**cells, TABLE_NAME: table_name}
        path = _PLACES.sub(lambda place: values[place[1]] if place[1] else place[0][0], self.path)
        # A recording in no folder, where a column names folders, is no absolute path.
        starts_empty = any(
            self.path.startswith(f"{{{column}}}") for column, cell in cells.items() if not cell
        )
        return path.lstrip("/") if starts_empty else path


class TableCorpusConfig(TableConfig, frozen=True, extra="forbid"):
    """Recordings that a table lists; further tables add to it, fallbacks replace a missing `table`."""

    name: Literal["table"] = "table"
    root: Root = Field(description="the folder that paths and tables are relative to")
    further_tables: tuple[TableConfig, ...] = Field((), description="more tables of the same corpus")
    fallbacks: tuple[TableConfig, ...] = Field(
        (), description="other layouts, tried in order if `table` does not exist"
    )
    allow_missing_files: bool = Field(
        False, description="count rows without a file as refused recordings instead of raising an error"
    )
    allow_outside_root: bool = Field(
        False, description="take files out of the root, which a row names by ../, an absolute path or a link"
    )

    def layouts(self) -> list[tuple[TableConfig, ...]]:
        """The possible layouts of this corpus, in order of preference."""
        return [(self, *self.further_tables), *((fallback,) for fallback in self.fallbacks)]


def _names(template: str) -> list[str]:
    return [name for name in _PLACES.findall(template) if name]
