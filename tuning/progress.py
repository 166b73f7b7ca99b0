"""A sweep in progress: on a terminal one table in place, in a log a line for each trial that ends."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from echopair.pipeline.progress import console
from echopair.tuning.results import Column, fitted_table, outcome_counts, ranked, value_columns
from echopair.tuning.texts import (
    cut,
    duration_text,
    error_line,
    final_score,
    last_intermediate,
    percent_text,
    short_keys,
    value_text,
)
from echopair.tuning.trials import Status, Trial

MOST_LINES = 16
MOST_BEST = 5
HEAD_LINES = 4  # above the rows, with headings of one line
DRAWS_PER_SECOND = 2  # each takes some milliseconds
BAR_CHARACTERS = 28  # as the bars of the stages


class SweepProgress:
    """Shows a sweep while it runs, on standard error.

    A context manager: it clears what it drew when it is left, also by Ctrl-C. Without a terminal it writes a line
    whenever a trial ends or begins again, so that logs stay readable.

    Args:
        name: of the sweep.
        total: trials that the sweep will have.
        keys: dotted, that are swept.
        evaluations: intermediate scores in the course of a whole training.
    """

    def __init__(self, name: str, total: int, keys: Sequence[str], evaluations: int) -> None:
        self._view = SweepView(name, total, keys, evaluations)
        self._known: Mapping[int, Trial] | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        # `console` alone does not know: with FORCE_COLOR it takes a file for a terminal, and TERM=dumb cannot redraw.
        if sys.stderr.isatty() and console.is_interactive:
            self._live = Live(
                get_renderable=lambda: self._view,
                console=console,
                refresh_per_second=DRAWS_PER_SECOND,
                transient=True,
                # Prints come out above the table, but those to a file must stay in the file.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, trials: Sequence[Trial]) -> None:
        """Show the sweep as it stands now; cheap, so that it may be called many times a second.

        Args:
            trials: all that were proposed so far. Those that have ended by the first call get no line of their own.
        """
        view = copy(self._view)
        view.update(trials)
        self._view = view
        for line in self._news(trials):
            self.say(line)

    def say(self, message: str) -> None:
        """Print a line that stays, above the table where there is one."""
        # A log's lines stay whole; a terminal's are broken between words.
        console.print(Text(message), soft_wrap=self._live is None)

    def _news(self, trials: Sequence[Trial]) -> list[str]:
        """What happened since the last call; on a terminal only what a person may want to act upon."""
        before, self._known = self._known, {trial.number: trial for trial in trials}
        count, total = sum(trial.status.ended for trial in trials), self._view.total
        if before is None:
            return [f"continues: {count} of {total} trials ended before"] if count and not self._live else []
        lines = []
        newly_ended = [
            trial
            for trial in trials
            if trial.status.ended and not (trial.number in before and before[trial.number].status.ended)
        ]
        count -= len(newly_ended)
        for trial in trials:
            attempts = before[trial.number].attempts if trial.number in before else 1
            if trial.attempts > max(attempts, 1):
                reason = f": {error_line(trial.error)}" if trial.error else ""
                lines.append(f"trial {trial.number} begins again, attempt {trial.attempts}{reason}")
            if trial in newly_ended:
                count += 1
                if self._live is None or trial.status is Status.FAILED:
                    lines.append(f"{self._view.end_of(trial)} ({count} of {total} ended)")
        return lines


@dataclass
class SweepView:
    """What the terminal shows: how far the sweep is, the running trials, the best of those that ended.

    It is never wider than the terminal nor higher than 16 lines. Another thread draws it, so it is copied before each
    update: if it grew between two drawings, rich would overwrite printed lines.

    Args:
        name: of the sweep.
        total: trials that the sweep will have.
        keys: dotted, that are swept.
        evaluations: intermediate scores in the course of a whole training.

    Attributes:
        known_at: by number, when a running trial's seconds last changed, by the monotonic clock.
        slots: how many trials run at once: the most seen so far.
    """

    name: str
    total: int
    keys: Sequence[str]
    evaluations: int

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.trials: Sequence[Trial] = ()
        self.known_at: Mapping[int, float] = {}
        self.slots = 1

    def update(self, trials: Sequence[Trial]) -> None:
        """Show the trials as they stand now."""
        now = time.monotonic()
        before = {trial.number: trial.seconds for trial in self.trials}
        running = [trial for trial in trials if trial.status is Status.RUNNING]
        self.known_at = {
            trial.number: self.known_at.get(trial.number, now)
            if before.get(trial.number) == trial.seconds
            else now
            for trial in running
        }
        self.slots = max(self.slots, len(running))
        self.trials = tuple(trials)

    def end_of(self, trial: Trial) -> str:
        """How a trial ended, with its values and its time."""
        match trial.status:
            case Status.STOPPED:
                outcome = f"stopped early at {self._done(trial)}: {percent_text(trial.latest)}, "
            case Status.FINISHED:
                outcome = f"finished: {percent_text(trial.latest)}, "
            case _:
                outcome = f"{trial.status}: {error_line(trial.error)}; "
        named = zip(self.keys, short_keys(self.keys), strict=True)
        values = (f"{words} {value_text(trial.current[k])}, " for k, words in named if k in trial.current)
        return f"trial {trial.number} {outcome}{''.join(values)}{duration_text(trial.seconds)}"

    def left_seconds(self) -> float | None:
        """An estimate of the time until the last trial ends; None before the first one ended.

        A trial takes as long as those that ended on average; one that already took longer continues at its own pace.
        """
        ended = [trial for trial in self.trials if trial.status.ended]
        took = [trial.seconds for trial in ended if trial.status is not Status.FAILED and trial.seconds > 0]
        if not took:
            return None
        average = sum(took) / len(took)
        left = [self._left_of(trial, average) for trial in self.trials if trial.status is Status.RUNNING]
        to_begin = max(self.total - len(ended) - len(left), 0)
        return max((sum(left) + to_begin * average) / self.slots, *left, 0.0)

    def _left_of(self, trial: Trial, average: float) -> float:
        spent = self._seconds(trial)
        if spent >= average and trial.intermediate_scores:
            last = trial.intermediate_scores[-1]
            average = last.seconds * self.evaluations / last.evaluation
        return max(average - spent, 0.0)

    def _seconds(self, trial: Trial) -> float:
        """Seconds of a trial; those of a running one grow between its reports."""
        now = time.monotonic()
        return trial.seconds + now - self.known_at.get(trial.number, now)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._first_line(options.max_width)
        yield Text(self._second_line(), no_wrap=True, overflow="ellipsis")
        running = [trial for trial in self.trials if trial.status is Status.RUNNING]
        # A score and an intermediate score come from different probes: the list holds either, never both.
        finished = [trial for trial in ranked(self.trials) if trial.status is Status.FINISHED]
        best = finished or [trial for trial in ranked(self.trials) if trial.status is Status.STOPPED]
        if not running and not best:
            return
        heading_lines = max(column.heading.count(" ") for column in self._columns([*running, *best]))
        # The last line of a terminal is left to the cursor.
        room = min(MOST_LINES, options.size.height - 1) - HEAD_LINES - heading_lines
        best = best[: max(min(MOST_BEST, room // 2), 0)]
        room -= len(best)
        shown = running if len(running) <= room else running[: max(room - 1, 0)]
        yield Text("")
        bold = len(shown) if best else None
        yield fitted_table(self._columns([*shown, *best]), options.max_width, bold)[0]
        if len(running) > len(shown):
            yield Text(f"... and {len(running) - len(shown)} more running", style="dim")

    def _first_line(self, width: int) -> Table:
        """Name, bar, how many ended, the time it took and may still take."""
        ended = sum(trial.status.ended for trial in self.trials)
        facts = f"{ended} of {self.total} ended, {duration_text(time.monotonic() - self.began)}"
        if left := self.left_seconds():
            facts += f", about {_rounded(left)} left"
        bar_width = min(BAR_CHARACTERS, max(width - len(facts) - len(self.name) - 4, 4))
        name = cut(self.name, max(width - len(facts) - bar_width - 4, 1))
        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(max(self.total, 1), ended, bar_width)
        line.add_row(
            Text(name, style="bold", no_wrap=True), bar, Text(facts, no_wrap=True, overflow="ellipsis")
        )
        return line

    def _second_line(self) -> str:
        """How many run, how the others ended, and the best so far."""
        counts = outcome_counts(trial for trial in self.trials if trial.status is not Status.WAITING)
        if scores := [score for trial in self.trials if (score := final_score(trial)) is not None]:
            return f"{counts}, best score {percent_text(max(scores))}"
        if scores := [score for trial in self.trials if (score := last_intermediate(trial)) is not None]:
            return f"{counts}, best k-NN score so far {percent_text(max(scores))}"
        return counts or "waiting for the first trial"

    def _columns(self, trials: Sequence[Trial]) -> list[Column]:
        return [
            Column("trial", [str(trial.number) for trial in trials]),
            *value_columns(trials, self.keys),
            Column("done", [self._done(trial) for trial in trials]),
            Column("k-NN", [percent_text(last_intermediate(trial)) for trial in trials]),
            Column("score", [percent_text(final_score(trial)) for trial in trials]),
            Column("time", [duration_text(self._seconds(trial)) for trial in trials]),
        ]

    def _done(self, trial: Trial) -> str:
        reached = trial.intermediate_scores[-1].evaluation if trial.intermediate_scores else 0
        return f"{self.evaluations if trial.status is Status.FINISHED else reached}/{self.evaluations}"


def _rounded(seconds: float) -> str:
    """An estimate, as exactly as it is known: tens of seconds, then minutes."""
    if seconds < 60:
        return f"{10 * math.ceil(seconds / 10)} s"
    return f"{round(seconds / 60)} min" if seconds < 3600 else duration_text(seconds)
