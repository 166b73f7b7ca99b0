"""What the cells of a table mean: labels, splits, and the seconds of an event."""

import ast
import math
import re
from collections.abc import Mapping
from typing import cast, get_args

from echopair.pipeline.corpora.recording import Split

SPLIT_SYNONYMS = {"val": "validation", "valid": "validation", "training": "train", "eval": "test"}
SPREADSHEET_ERRORS = ("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!")
MISSING_VALUES = ("na", "n/a", "nan", "none", "null")

# Raven counts the seconds of a selection from the first of all files that are open; this column counts from the file's.
RAVEN_BEGIN, RAVEN_OFFSET = "Begin Time (s)", "File Offset (s)"
AUDACITY_FREQUENCIES = "\\"  # begins a line with the frequencies of the label in the line before

_SECONDS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_QUOTED = r"""\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*"""
_LIST = re.compile(rf"[\[({{](?:{_QUOTED}(?:,{_QUOTED})*,?\s*)?[\])}}]")


def one_label(cell: str) -> tuple[str, ...]:
    """The label of a cell, none if it is empty.

    Raises:
        ValueError: a list of several; the message is the reason.
    """
    if not _LIST.fullmatch(cell):
        return (cell,) if cell else ()
    labels = _listed(cell)
    if len(labels) > 1:
        raise ValueError(f"{cell} is a list of labels; name its column by labels=, not by label=")
    return labels


def several_labels(cell: str, separator: str) -> tuple[str, ...]:
    """The labels of a cell, sorted, each once: a list as Python or JSON writes it, or separated texts.

    Raises:
        ValueError: a list in brackets whose labels have no quotation marks; the message is the reason.
    """
    if _LIST.fullmatch(cell):
        parts = list(_listed(cell))
    else:
        parts = [part.strip() for part in cell.split(separator)]
        in_brackets = cell[:1] in ("[", "(", "{") and cell[-1:] in ("]", ")", "}")
        if in_brackets and (len(parts) > 1 or "'" in cell or '"' in cell):
            raise ValueError(
                f"{cell} is no list of labels; write ['dog', 'wind'], or dog and wind with label_separator between"
            )
    return tuple(sorted({part for part in parts if part}))


def _listed(cell: str) -> tuple[str, ...]:
    items = re.findall(_QUOTED, cell)
    return tuple(label for item in items if (label := str(ast.literal_eval(item.strip())).strip()))


def split_of(cell: str) -> Split:
    """A split, also by another of its usual names.

    Raises:
        ValueError: it is none; the message is the reason.
    """
    split = SPLIT_SYNONYMS.get(cell.lower(), cell.lower())
    if split not in get_args(Split):
        raise ValueError(f"{cell!r} is not a split; write {', '.join(get_args(Split))}")
    return cast(Split, split)


def excerpt_of(
    cells: Mapping[str, str], begin: str, end: str, delimiter: str, *, ends_after: bool = False
) -> tuple[float, float]:
    """Begin and end of an event in its recording, in seconds.

    Args:
        cells: of the row, by column.
        begin: column with the begin.
        end: column with the end.
        delimiter: between the table's cells; where it is no comma, a comma may separate decimals.
        ends_after: whether `end` holds the seconds that the event lasts.

    Raises:
        ValueError: a cell holds no seconds, or the end is before the begin; the message is the reason.
    """
    first, last = (_seconds(cells[column], column, delimiter) for column in (begin, end))
    last += first if ends_after else 0
    if begin == RAVEN_BEGIN and cells.get(RAVEN_OFFSET):
        offset = _seconds(cells[RAVEN_OFFSET], RAVEN_OFFSET, delimiter)
        first, last = offset, offset + last - first
    if last < first:
        raise ValueError(f"the event ends at {last:g} s, before it begins at {first:g} s")
    return first, last


def _seconds(cell: str, column: str, delimiter: str) -> float:
    text = cell if delimiter == "," else cell.replace(",", ".", 1)
    seconds = float(text) if _SECONDS.fullmatch(text) else math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"{cell!r} in column {column!r} is not a number of seconds, as 12.5")
    return seconds
