"""What a sweep found, in the terminal: its trials as a table, best first, and a sentence or two about them."""

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.table import Table
from rich.text import Text

from echopair.tuning.trials import Status, Trial

TRIALS_FILE = "trials.csv"
ERROR_CHARACTERS = 160
VALUE_CHARACTERS = 24
ITEMS_SHOWN = 2  # of a list or mapping that is a value
SIGNIFICANT_DIGITS = 3
NUMBER_CHARACTERS = 7  # 0.00123 is written out, 1.23e-4 is not
HEADING_LINES = 2
# Below these, a heading or a word says nothing any more.
NARROWEST_HEADING = 5
NARROWEST_TEXT = 8


def results_table(trials: Sequence[Trial], keys: Sequence[str], *, limit: int = 20) -> ConsoleRenderable:
    """The trials, best first: score, values, last reading, share of the steps done, time, status.

    Numbers are never cut. Where the terminal is narrow, headings are, then words; then values are left out, the
    last key first, which is said below the table.

    Args:
        trials: of the sweep, in any order.
        keys: dotted, in the order of their columns.
        limit: most rows; how many more there are is said below them.
    """
    return _ResultsTable(trials, keys, limit)


def summary_line(trials: Sequence[Trial]) -> str:
    """How the trials ended: "16 trials: 7 finished, 8 stopped early, 1 diverged"."""
    if not trials:
        return "no trial was begun"
    counted = Counter(trial.status for trial in trials)
    order = (
        Status.FINISHED,
        Status.STOPPED,
        Status.DIVERGED,
        Status.FAILED,
        Status.RUNNING,
        Status.WAITING,
    )
    ends = ", ".join(f"{counted[status]} {status_words(status)}" for status in order if counted[status])
    return f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}: {ends}"


def exit_note(trials: Sequence[Trial]) -> str:
    """How many trials failed, and why the first of them did; empty if none failed."""
    failed = sorted(
        (trial for trial in trials if trial.status is Status.FAILED), key=lambda trial: trial.number
    )
    if not failed:
        return ""
    count = f"{len(failed)} of {len(trials)} trials failed"
    if len(trials) == 1:
        count = "the only trial failed"
    first = failed[0]
    return f"{count}; trial {first.number}: {error_line(first.error)}"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Best first: by score those that finished, then by last reading the others, then diverged and failed ones.

    Scores and readings come from different probes, so they are not compared with each other.
    """
    groups = {Status.FINISHED: 0, Status.DIVERGED: 2, Status.FAILED: 3}

    def place(trial: Trial) -> tuple[int, float, int]:
        latest = trial.latest
        return groups.get(trial.status, 1), math.inf if latest is None else -latest, trial.number

    return sorted(trials, key=place)


def short_keys(keys: Sequence[str]) -> list[str]:
    """Dotted keys as words: their last part, and as many parts before it as tell them apart.

    `name` chooses an alternative and says nothing itself, so `encoder.name` is called "encoder".
    """
    parts = [key.removesuffix(".name").split(".") for key in keys]
    taken = [1] * len(keys)
    while True:
        short = [" ".join(part[-count:]).replace("_", " ") for part, count in zip(parts, taken, strict=True)]
        counted = Counter(short)
        longer = [
            count + (counted[words] > 1 and count < len(part))
            for words, part, count in zip(short, parts, taken, strict=True)
        ]
        if longer == taken:
            return short
        taken = longer


def value_text(value: Any) -> str:
    """A swept value in a few characters: 3 significant digits, the first items of a list or mapping."""
    match value:
        case None:
            text = "none"
        case bool():
            text = str(value).lower()
        case float():
            text = _number_text(value)
        case Mapping():
            # {name: gain, max_gain_db: 3} is gain (max_gain_db 3).
            items = [f"{key} {value_text(item)}" for key, item in value.items() if key != "name"]
            text = f"{value.get('name', '')} ({_first_items(items)})" if items else str(value.get("name", ""))
        case list() | tuple():
            text = _first_items([value_text(item) for item in value])
        case _:
            text = str(value)
    return cut(" ".join(text.split()), VALUE_CHARACTERS)


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1 in percent; empty for None."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def duration_text(seconds: float) -> str:
    """A duration: 32 s, 1:12 min, 2:05 h."""
    whole_minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(whole_minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d} h"
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def error_line(message: str) -> str:
    """An error in one line, without colours; of a traceback, the line that says what went wrong."""
    lines = [line for line in Text.from_ansi(message).plain.splitlines() if line.strip()]
    if any(line.lstrip().startswith('File "') for line in lines):
        lines = lines[-1:]
    return cut(" ".join(" ".join(lines).split()), ERROR_CHARACTERS) or "no reason was given"


def status_words(status: Status) -> str:
    """A status as people say it."""
    return "stopped early" if status is Status.STOPPED else status.value


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits a width and an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


@dataclass(frozen=True)
class Column:
    """A column that knows how narrow it can become.

    Args:
        heading: broken at words into two lines where that saves room.
        cells: one a row.
        justify: of heading and cells.
        width: what the cells want.
        narrowest: what they can do with.
        can_go: it may be left out where everything else is at its narrowest.
    """

    heading: str
    cells: Sequence[ConsoleRenderable | str]
    justify: Literal["left", "right"]
    width: int
    narrowest: int
    can_go: bool = False

    @property
    def longest_word(self) -> int:
        return max(map(cell_len, self.heading.split()))

    @property
    def floor(self) -> int:
        """The least width at all."""
        return max(self.narrowest, min(self.longest_word, NARROWEST_HEADING))

    def cell(self, row: int, width: int) -> ConsoleRenderable:
        """A cell; not markup, since a value may hold brackets."""
        cell = self.cells[row]
        if not isinstance(cell, str):
            return cell
        # Not justified by rich, which takes away the spaces that align decimal points.
        return Text(" " * (width - cell_len(cell)) + cell if self.justify == "right" else cell)

    def heading_text(self, width: int) -> str:
        """The heading in at most two lines."""
        lines = textwrap.wrap(self.heading, width, break_long_words=False)
        lines = [*lines[: HEADING_LINES - 1], " ".join(lines[HEADING_LINES - 1 :])]
        return "\n".join(lines).rstrip()


def number_column(heading: str, cells: Sequence[str], *, can_go: bool = False) -> Column:
    """A column of numbers, which are never cut."""
    width = max(map(cell_len, cells), default=0)
    return Column(heading, cells, "right", width, width, can_go)


def text_column(heading: str, cells: Sequence[str], *, can_go: bool = False) -> Column:
    """A column of words, which are cut where there is no room."""
    width = max(map(cell_len, cells), default=0)
    return Column(heading, cells, "left", width, min(width, NARROWEST_TEXT), can_go)


def value_columns(trials: Sequence[Trial], keys: Sequence[str]) -> list[Column]:
    """A column for each swept key; numbers stand with their decimal points below each other."""
    columns = []
    current = [trial.current for trial in trials]
    for key, heading in zip(keys, short_keys(keys), strict=True):
        # In a conditional space, a trial may lack a key.
        texts = [value_text(values[key]) if key in values else "" for values in current]
        if all(_is_number(values[key]) for values in current if key in values):
            columns.append(number_column(heading, _aligned(texts), can_go=True))
        else:
            columns.append(text_column(heading, texts, can_go=True))
    return columns


class Layout:
    """Columns fitted to a width: each with the widths that they get, and the gap between them.

    Args:
        columns: as wanted.
        width: of the terminal, in characters.
    """

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        self.columns = list(columns)
        while sum(column.floor + 1 for column in self.columns) - 1 > width:
            dispensable = [column for column in self.columns if column.can_go]
            if not dispensable:
                break
            self.columns.remove(dispensable[-1])
        self.left_out = len(columns) - len(self.columns)

        broken = [max(column.width, column.longest_word) for column in self.columns]
        self.gap = 2 if sum(broken) + 2 * (len(broken) - 1) <= width else 1
        room = width - self.gap * (len(broken) - 1)
        self.widths = [max(column.width, cell_len(column.heading)) for column in self.columns]
        # First headings take two lines; then bars and words become shorter; at last, headings.
        whole_headings = [max(column.narrowest, column.longest_word) for column in self.columns]
        for floors in (broken, whole_headings, [column.floor for column in self.columns]):
            self._narrow(floors, room)
        self.heading_lines = max(
            column.heading_text(width).count("\n") + 1
            for column, width in zip(self.columns, self.widths, strict=True)
        )

    def end_of(self, heading: str) -> int:
        """Where a column ends, in characters from the left."""
        place = [column.heading for column in self.columns].index(heading)
        return sum(self.widths[: place + 1]) + self.gap * place

    def _narrow(self, floors: Sequence[int], room: int) -> None:
        """Take from the widest, one character after the other."""
        while sum(self.widths) > room:
            over = [index for index, floor in enumerate(floors) if self.widths[index] > floor]
            if not over:
                return
            self.widths[max(over, key=self.widths.__getitem__)] -= 1

    def table(self, rows: Sequence[int], *, bold: int | None = None, headings: bool = True) -> Table:
        """Some rows as a table.

        Args:
            rows: indices into the cells of the columns.
            bold: index of the row to stand out.
            headings: whether they are shown.
        """
        table = Table(box=None, pad_edge=False, padding=(0, self.gap, 0, 0), show_header=headings)
        for column, width in zip(self.columns, self.widths, strict=True):
            table.add_column(
                Text(column.heading_text(width), justify=column.justify),
                vertical="bottom",
                width=width,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in rows:
            table.add_row(
                *(column.cell(row, width) for column, width in zip(self.columns, self.widths, strict=True)),
                style="bold" if row == bold else "",
            )
        return table


@dataclass(frozen=True)
class _ResultsTable:
    trials: Sequence[Trial]
    keys: Sequence[str]
    limit: int

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown = ranked(self.trials)[: self.limit]
        layout = Layout(self._columns(shown), options.max_width)
        has_best = bool(shown) and shown[0].status is Status.FINISHED
        yield layout.table(range(len(shown)), bold=0 if has_best else None)
        for note in self._notes(shown, layout):
            yield Text(note, style="dim")

    def _columns(self, shown: Sequence[Trial]) -> list[Column]:
        readings = [trial.readings[-1].score if trial.readings else None for trial in shown]
        return [
            number_column("trial", [str(trial.number) for trial in shown]),
            number_column("score", [percent_text(trial.score) for trial in shown]),
            *value_columns(shown, self.keys),
            number_column("last reading", [percent_text(reading) for reading in readings]),
            number_column("done", [percent_text(_done_share(trial), digits=0) for trial in shown]),
            number_column("time", [duration_text(trial.seconds) for trial in shown]),
            text_column("status", [status_words(trial.status) for trial in shown]),
        ]

    def _notes(self, shown: Sequence[Trial], layout: Layout) -> list[str]:
        notes = []
        if len(self.trials) > len(shown):
            notes.append(f"... and {len(self.trials) - len(shown)} more in {TRIALS_FILE}")
        if layout.left_out:
            hidden = short_keys(self.keys)[-layout.left_out :]
            notes.append(f"no room for {', '.join(hidden)}: see {TRIALS_FILE}")
        if any(len(trial.lineage) > 1 for trial in shown):
            notes.append("values are the last ones of a trial: the population changed them as it learned")
        return notes


def _done_share(trial: Trial) -> float | None:
    if trial.status is Status.FINISHED:
        return 1.0
    return trial.readings[-1].step / trial.steps if trial.readings and trial.steps else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_text(value: float) -> str:
    rounded = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    plain = f"{rounded:.{NUMBER_CHARACTERS}g}"  # 7800 rather than 7.8e+03
    if len(plain) <= NUMBER_CHARACTERS and "e" not in plain:
        return plain
    mantissa, _, exponent = f"{rounded:.{SIGNIFICANT_DIGITS - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _first_items(items: Sequence[str]) -> str:
    more = len(items) - ITEMS_SHOWN
    return ", ".join(items[:ITEMS_SHOWN]) + (f" +{more}" if more > 0 else "")


def _aligned(numbers: Sequence[str]) -> list[str]:
    """Padded at the right, so that the decimal points meet in a column that is justified to the right."""
    after_point = [len(number) - len(number.partition("e")[0].partition(".")[0]) for number in numbers]
    most = max(after_point, default=0)
    return [
        number + " " * (most - after) if number else ""
        for number, after in zip(numbers, after_point, strict=True)
    ]
