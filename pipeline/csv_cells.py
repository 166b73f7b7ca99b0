"""Cells of the CSV files that are written: what a spreadsheet shows, and never runs."""

from typing import Any

from echopair.pipeline.pages import printable

FORMULA_BEGINS = ("=", "+", "-", "@")
CELL_CHARACTERS = 32_000  # of a cell in spreadsheets


def csv_cell(value: Any) -> Any:
    """A value for a CSV writer: an apostrophe precedes formulas, and control characters but line ends are spelled out.

    Source: OWASP, "CSV Injection".
    """
    if not isinstance(value, str):
        return value
    text = "\n".join(printable(line, CELL_CHARACTERS) for line in value.split("\n"))
    return f"'{text}" if text.lstrip().startswith(FORMULA_BEGINS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
