"""What a sweep found, in the terminal: its trials as a table, best first, and a sentence or two about them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from echopair.tuning.texts import (
    done_share,
    duration_text,
    error_line,
    final_score,
    last_intermediate,
    percent_text,
    score_text,
    short_keys,
    status_words,
    value_text,
)
from echopair.tuning.trials import Status, Trial

TRIALS_FILE = "trials.csv"
MOST_ROWS = 20
# Below these, a word or a heading says nothing any more.
NARROWEST_TEXT, NARROWEST_HEADING = 8, 5


def summary_line(trials: Sequence[Trial]) -> str:
    """How the trials ended: "16 trials: 7 finished, 8 stopped early, 1 diverged"."""
    if not trials:
        return "no trial was begun"
    return f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}: {outcome_counts(trials)}"


def outcome_counts(trials: Iterable[Trial]) -> str:
    """How many trials there are of each status: "7 finished, 8 stopped early"."""
    counted = Counter(trial.status for trial in trials)
    order = [status for status in Status if status.ended] + [Status.RUNNING, Status.WAITING]
    return ", ".join(f"{counted[status]} {status_words(status)}" for status in order if counted[status])


def exit_note(trials: Sequence[Trial]) -> str:
    """How many trials failed, and why the first of them did; empty if none failed."""
    failed = [trial for trial in trials if trial.status is Status.FAILED]
    if not failed:
        return ""
    first = min(failed, key=lambda trial: trial.number)
    count = f"{len(failed)} of {len(trials)} trials failed" if len(trials) > 1 else "the only trial failed"
    return f"{count}; trial {first.number}: {error_line(first.error)}"


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Best first: finished trials by score, then others by intermediate score, then diverged and failed ones.

    Scores and intermediate scores come from different probes, so they are not compared with each other.
    """
    groups = {Status.FINISHED: 0, Status.DIVERGED: 2, Status.FAILED: 3}

    def place(trial: Trial) -> tuple[int, float, int]:
        latest = trial.latest
        return groups.get(trial.status, 1), math.inf if latest is None else -latest, trial.number

    return sorted(trials, key=place)


class Column(NamedTuple):
    """A column of a table of trials: numbers, which are never cut, or text, which is where there is no room.

    Args:
        heading: a word per line where that saves room.
        cells: one a row.
        is_text: whether it may be cut.
        key: the swept key of which it has the values, if any; such columns are left out where there is no room.
    """

    heading: str
    cells: Sequence[str]
    is_text: bool = False
    key: str = ""

    @property
    def widest(self) -> int:
        """Characters that it wants."""
        return max(map(cell_len, [*self.heading.split(), *self.cells]))

    @property
    def narrowest(self) -> int:
        """Characters that it can do with."""
        cells = max(map(cell_len, self.cells), default=0)
        return max(min(cells, NARROWEST_TEXT) if self.is_text else cells, min(self.widest, NARROWEST_HEADING))


def fitted_table(columns: Sequence[Column], width: int, bold: int | None = None) -> tuple[Table, list[str]]:
    """A table that fits a width, and the swept keys that are left out for that, the last first.

    Args:
        columns: as wanted.
        width: in characters.
        bold: the row to stand out.
    """
    kept = list(columns)
    while sum(column.narrowest + 1 for column in kept) - 1 > width and any(column.key for column in kept):
        kept.remove([column for column in kept if column.key][-1])
    room = width - len(kept) + 1
    widths = [max(column.widest, cell_len(column.heading)) for column in kept]
    if not (one_line := sum(widths) <= room):
        widths = [column.widest for column in kept]
    while sum(widths) > room:
        excess = [wide - column.narrowest for wide, column in zip(widths, kept, strict=True)]
        if max(excess) <= 0:
            break
        widths[excess.index(max(excess))] -= 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, wide in zip(kept, widths, strict=True):
        heading = column.heading if one_line else column.heading.replace(" ", "\n")
        title = Text(heading, justify="left" if column.is_text else "right")
        table.add_column(title, vertical="bottom", width=wide, no_wrap=True, overflow="ellipsis")
    for row, cells in enumerate(zip(*(column.cells for column in kept), strict=True)):
        # Not markup, since values may hold brackets; not justified by rich, which would strip the aligning spaces.
        padded = [
            cell if column.is_text else " " * (wide - cell_len(cell)) + cell
            for column, wide, cell in zip(kept, widths, cells, strict=True)
        ]
        table.add_row(*map(Text, padded), style="bold" if row == bold else "")
    return table, [column.key for column in columns if column not in kept]


def value_columns(trials: Sequence[Trial], keys: Sequence[str]) -> list[Column]:
    """A column for each swept key; decimal points stand below each other."""
    columns = []
    for key, heading in zip(keys, short_keys(keys), strict=True):
        values = [trial.current[key] for trial in trials if key in trial.current]
        texts = [value_text(trial.current[key]) if key in trial.current else "" for trial in trials]
        is_text = any(isinstance(value, bool) or not isinstance(value, int | float) for value in values)
        if not is_text:
            after = [len(text) - len(text.partition("e")[0].partition(".")[0]) for text in texts]
            most = max(after, default=0)
            texts = [text and text + " " * (most - n) for text, n in zip(texts, after, strict=True)]
        columns.append(Column(heading, texts, is_text, key))
    return columns


@dataclass(frozen=True)
class ResultsTable:
    """The trials, best first: score, values, last intermediate score, share of the steps done, time, status.

    Numbers are never cut. Where the terminal is narrow, words are; then values are left out, the last key first, and a
    note below the table says so.

    Args:
        trials: of the sweep, in any order.
        keys: dotted, in the order of their columns.
        clips: independent validation clips, one a source, if known; scores then have a 95 % interval.
    """

    trials: Sequence[Trial]
    keys: Sequence[str]
    clips: int | None = None

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown = ranked(self.trials)[:MOST_ROWS]
        has_best = bool(shown) and shown[0].status is Status.FINISHED
        columns = [
            Column("trial", [str(trial.number) for trial in shown]),
            Column("score", [score_text(final_score(trial), self.clips) for trial in shown]),
            *value_columns(shown, self.keys),
            Column("last k-NN", [percent_text(last_intermediate(trial)) for trial in shown]),
            Column("done", [percent_text(done_share(trial), digits=0) for trial in shown]),
            Column("time", [duration_text(trial.seconds) for trial in shown]),
            Column("status", [status_words(trial.status) for trial in shown], is_text=True),
        ]
        table, left_out = fitted_table(columns, options.max_width, bold=0 if has_best else None)
        yield table
        notes = []
        if len(self.trials) > len(shown):
            notes.append(f"... and {len(self.trials) - len(shown)} more in {TRIALS_FILE}")
        if left_out:
            notes.append(f"no room for {', '.join(short_keys(left_out))}: see {TRIALS_FILE}")
        if any(len(trial.lineage) > 1 for trial in shown):
            notes.append("values are a trial's last ones: the population changed them during training")
        yield from (Text(note, style="dim") for note in notes)
