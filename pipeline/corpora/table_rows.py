"""Reads the rows of a CSV or TSV: a row is what its writer meant, or an error that names its line."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from pydantic import BaseModel, Field, field_validator

from echopair.pipeline.errors import UserError, did_you_mean

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
# UTF-32 first: its little-endian mark begins with that of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TableFormat(BaseModel, frozen=True, extra="forbid"):
    """How the text of a table is to be read."""

    delimiter: str | None = Field(
        None,
        description=r"the character between cells, \t for a tab; by default a tab in .tsv and .tab files and a comma "
        "in others, or the one that the header shows",
    )
    encoding: str | None = Field(
        None,
        description="of the table's text, such as cp1252; by default UTF-8, or UTF-16 where a byte order mark says so",
    )
    quoted_cells: bool = Field(
        True,
        description="whether quotation marks around a cell quote it; false where they are ordinary characters",
    )
    columns: tuple[str, ...] = Field(
        (), description="names of the columns of a table that has no header, as of Audacity"
    )

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str | None) -> str | None:
        delimiter = "\t" if delimiter == r"\t" else delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\ufeff'):
            raise ValueError(f"{delimiter!r} is not one character; write for instance ; or \\t for a tab")
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError(
                f"there is no text encoding {encoding!r}; write for instance cp1252 or utf-16"
            ) from error
        return encoding


class Row(NamedTuple):
    """The cells of the columns that are used, without spaces around them, and the row's line in the file."""

    line: int
    cells: dict[str, str]


class Rows(NamedTuple):
    """What a table holds, and how it was read."""

    rows: list[Row]
    delimiter: str
    note: str  # about a delimiter that was guessed; otherwise empty


def read_rows(
    file: Path, table: TableFormat, key: str, used: Mapping[str, str], optional: Sequence[str] = ()
) -> Rows:
    """Read the columns that are used.

    Args:
        file: the table.
        table: its format.
        key: of the corpus in the config, for messages.
        used: the columns that the table must have, and the key that names each.
        optional: columns that are read if the table has them.

    Raises:
        UserError: the text cannot be decoded, a column is missing or in the header twice, a row has more or fewer
            cells than the header, or a quotation mark takes other rows into its cell.
    """
    lines = list(io.StringIO(_text(file, table.encoding, key), newline=""))
    delimiter = table.delimiter
    skipped = 0
    if lines and (told := re.fullmatch(r'"?sep=(.)"?\s*', lines[0])):  # written by Excel, for Excel
        delimiter, skipped = delimiter or told[1], 1
    reader = _Reader(file, lines, key, table, skipped)
    usual = "\t" if file.suffix.lower() in (".tsv", ".tab") else ","
    if delimiter is None:
        delimiter = reader.guess(usual, used)
    header = reader.header(delimiter)
    places = {column: _place(column, header, f"{key}.{name}", file) for column, name in used.items()}
    places |= {column: header.index(column) for column in optional if column in header}
    rows = [
        Row(line, {column: cells[place].strip() for column, place in places.items()})
        for line, cells in reader.rows(delimiter, header, set(places.values()))
    ]
    guessed = table.delimiter is None and not skipped and delimiter != usual
    note = f"{file.name} is read with {DELIMITERS[delimiter]} between cells, as its first line shows"
    return Rows(rows, delimiter, f"{note}; {key}.delimiter chooses another" if guessed else "")


def clean(text: str) -> str:
    """A text in composed Unicode form, without spaces around it."""
    return unicodedata.normalize("NFC", text).strip()


def _text(file: Path, encoding: str | None, key: str) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{key}.table: {file} cannot be read: {error.strerror}") from error
    chosen = encoding or next(
        (name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8"
    )
    remedy = f"set {key}.encoding to that of its writer (cp1252 for many spreadsheets, utf-16-le), or save it as UTF-8"
    try:
        text = data.decode(chosen)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{key}.encoding: {file}, line {line}: cannot be read as {chosen.upper()} ({error.reason}); {remedy}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(
            f"{key}.encoding: {file}, line {line}: a zero byte, so this is no {chosen.upper()}; {remedy}"
        )
    return text.removeprefix("\ufeff")


def _place(column: str, header: Sequence[str], key: str, file: Path) -> int:
    places = [n for n, name in enumerate(header) if name == clean(column)]
    if not places:
        hint = (
            did_you_mean(column, header) or f"; its columns are {', '.join(filter(None, header)) or 'none'}"
        )
        raise UserError(f"{key}: {file} has no column {column!r}{hint}")
    if len(places) > 1:
        numbers = " and ".join(str(place + 1) for place in places)
        raise UserError(
            f"{key}: {file} has {len(places)} columns {column!r}, numbers {numbers}; rename all but the "
            "one that is meant"
        )
    return places[0]


class _Reader:
    """Parses the lines of a table with one delimiter or another."""

    def __init__(self, file: Path, lines: list[str], key: str, table: TableFormat, skipped: int) -> None:
        self._file, self._lines, self._key, self._table, self._skipped = file, lines, key, table, skipped

    def guess(self, usual: str, used: Mapping[str, str]) -> str:
        """The usual delimiter if the header then has all columns, else the first that gives the most of them."""

        def fit(delimiter: str) -> tuple[int, int]:
            try:
                _, cells = next(self._parsed(delimiter), (0, []))
            except UserError:
                return (-1, 0)
            if self._table.columns:
                return (-abs(len(cells) - len(self._table.columns)), 0)
            names = [clean(cell) for cell in cells]
            return (sum(clean(column) in names for column in used), len(names))

        fits = {delimiter: fit(delimiter) for delimiter in (usual, *DELIMITERS)}
        enough = 0 if self._table.columns else len(used)
        return usual if fits[usual][0] == enough else max(fits, key=lambda one: fits[one])

    def header(self, delimiter: str) -> list[str]:
        """The names of the columns."""
        if self._table.columns:
            return [clean(name) for name in self._table.columns]
        _, cells = next(self._parsed(delimiter), (0, []))
        return [clean(cell) for cell in cells]

    def rows(self, delimiter: str, header: Sequence[str], used: set[int]) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of each row that is not blank."""
        parsed = self._parsed(delimiter, len(header))
        if not self._table.columns:
            next(parsed, None)
        wrong: list[tuple[int, int]] = []
        for line, cells in parsed:
            # Delimiters behind the last cell say nothing.
            if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
                wrong.append((line, len(cells)))
            elif any(mark in cells[place] for place in used for mark in "\r\n"):
                self._refuse(line, "a quoted cell that is used spans lines; write it in one line")
            elif not wrong:
                yield line, cells
        if wrong:
            line, count = wrong[0]
            others = "1 other row" if len(wrong) == 2 else f"{len(wrong) - 1} other rows"
            more = f", as in {others}" if len(wrong) > 1 else ""
            known = DELIMITERS.get(delimiter, repr(delimiter))
            self._refuse(
                line,
                f"{count} cell{'s'[: count != 1]}, and the header has {len(header)}{more}; complete the row, put a "
                f"cell that contains {known} in quotation marks, or set {self._key}.delimiter if another character is "
                "between cells",
            )

    def _parsed(self, delimiter: str, width: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of each row that is not blank, the header among them.

        Args:
            delimiter: between cells.
            width: number of columns, once it is known: a quoted cell may span lines unless these look like rows.
        """
        reader = csv.reader(
            self._lines[self._skipped :],
            delimiter=delimiter,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if self._table.quoted_cells else csv.QUOTE_NONE,
        )
        while True:
            begin = reader.line_num + self._skipped
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                self._refuse_quotation_mark(begin + 1, "is not closed where its cell ends")
            end = reader.line_num + self._skipped
            first, *others = (line.count(delimiter) + 1 for line in self._lines[begin:end])
            if others and width is not None and min(first, max(others)) >= width:
                self._refuse_quotation_mark(
                    begin + 1, f"is closed in line {end} only, and takes in the rows between"
                )
            if any(cell.strip() for cell in cells):
                yield begin + 1, cells

    def _refuse_quotation_mark(self, line: int, what: str) -> NoReturn:
        self._refuse(
            line,
            f"the quotation mark that begins a cell {what}; remove it, or set {self._key}.quoted_cells=false if "
            "quotation marks are ordinary characters in this table",
        )

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise UserError(f"{self._key}.table: {self._file}, line {line}: {what}")
