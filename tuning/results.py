"""What a sweep found, in the terminal: its trials as a table, best first, and a sentence or two about them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
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
NARROWEST_TEXT, WIDEST_TABLE = 13, 10_000  # characters


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


def trial_table(
    trials: Sequence[Trial],
    keys: Sequence[str],
    figures: Mapping[str, Callable[[Trial], str]],
    console: Console,
    best: Trial | None,
) -> tuple[Table, list[str]]:
    """A table with a row for each trial, and the swept keys that are left out because there is no room for them.

    Args:
        keys: dotted, of the swept values; the last ones are left out first.
        figures: text of a trial by heading; these columns are always shown, "score" before the values.
    """
    unlimited = console.options.update(max_width=WIDEST_TABLE)
    for count in range(len(keys), -1, -1):
        columns = {"trial": lambda trial: str(trial.number), "score": figures["score"]}
        for key, words in zip(keys[:count], short_keys(keys), strict=False):
            columns[words] = partial(_value, key=key)
        columns |= figures
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, text in columns.items():
            cells = [text(trial) for trial in trials]
            widest = max(map(cell_len, cells), default=0)
            is_text = any(cell and not cell[0].isdigit() and cell[0] != "-" for cell in cells)
            table.add_column(
                heading.replace(" ", "\n"),
                justify="left" if is_text else "right",
                min_width=min(widest, NARROWEST_TEXT) if is_text else widest,  # no number is cut
                vertical="bottom",
                no_wrap=True,
            )
        for trial in trials:
            row = [Text(text(trial)) for text in columns.values()]  # not markup: values may hold brackets
            table.add_row(*row, style="bold" if trial is best else "")
        if Measurement.get(console, unlimited, table).minimum <= console.width:
            break
    return table, list(keys[count:])


def _value(trial: Trial, key: str) -> str:
    return value_text(trial.current[key]) if key in trial.current else ""


def results_table(
    trials: Sequence[Trial], keys: Sequence[str], console: Console, sources: int | None = None
) -> RenderableType:
    """The trials, best first: score, values, last intermediate score, share of the steps done, time, status.

    Args:
        console: that the table has to fit; where it is narrow, values are left out, and a note says so.
        sources: of the validation clips, if known; scores then have a 95 % interval.
    """
    shown = ranked(trials)[:MOST_ROWS]
    figures: dict[str, Callable[[Trial], str]] = {
        "score": lambda trial: score_text(final_score(trial), sources),
        "last k-NN": lambda trial: percent_text(last_intermediate(trial)),
        "done": lambda trial: percent_text(done_share(trial), digits=0),
        "time": lambda trial: duration_text(trial.seconds),
        "status": lambda trial: status_words(trial.status),
    }
    best = next((trial for trial in shown if trial.status is Status.FINISHED), None)
    table, left_out = trial_table(shown, keys, figures, console, best)
    notes = []
    if len(trials) > len(shown):
        notes.append(f"... and {len(trials) - len(shown)} more in {TRIALS_FILE}")
    if left_out:
        notes.append(f"no room for {', '.join(short_keys(left_out))}: see {TRIALS_FILE}")
    if any(len(trial.lineage) > 1 for trial in shown):
        notes.append("values are a trial's last ones: the population changed them during training")
    return Group(table, *(Text(note, style="dim") for note in notes))
