"""A sweep in progress: on a terminal one table in place, in a log a line for each trial that ends."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from echopair.pipeline.progress import console
from echopair.tuning.results import outcome_counts, ranked, trial_table
from echopair.tuning.texts import (
    duration_text,
    error_line,
    final_score,
    last_intermediate,
    percent_text,
    short_keys,
    value_text,
)
from echopair.tuning.trials import Status, Trial

MOST_RUNNING, MOST_BEST = 7, 4  # rows
DRAWS_PER_SECOND = 2  # each takes some milliseconds
WEEK_SECONDS = 7 * 24 * 3600.0
NAME_CHARACTERS = 24


class SweepProgress:
    """Shows a sweep while it runs, on standard error.

    A context manager: it clears what it drew when it is left, also by Ctrl-C. Without a terminal it writes a line
    whenever a trial ends or begins again, so that logs stay readable.

    Args:
        milestones: intermediate scores in the course of a whole training.
    """

    def __init__(self, name: str, total: int, keys: Sequence[str], milestones: int) -> None:
        self._total = total
        self._keys = keys
        self._milestones = milestones
        self._trials: Sequence[Trial] = ()
        self._known: Mapping[int, Trial] | None = None
        self._bar = Progress(
            TextColumn(
                "[bold]{task.description}",
                table_column=Column(max_width=NAME_CHARACTERS, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("ended"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            speed_estimate_period=WEEK_SECONDS,  # a trial may take hours
        )
        self._ended = self._bar.add_task(escape(name), total=total)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        # `console` alone does not know: with FORCE_COLOR it takes a file for a terminal, and TERM=dumb cannot redraw.
        if sys.stderr.isatty() and console.is_interactive:
            self._live = Live(
                get_renderable=lambda: self.drawn(self._trials),
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
        self._bar.update(self._ended, completed=sum(trial.status.ended for trial in trials))
        self._trials = tuple(trials)
        for line in self._news(trials):
            # A log's lines stay whole; a terminal's are broken between words.
            console.print(Text(line), soft_wrap=self._live is None)

    def _news(self, trials: Sequence[Trial]) -> list[str]:
        """What happened since the last call; on a terminal only what a person may want to act upon."""
        before, self._known = self._known, {trial.number: trial for trial in trials}
        count = sum(trial.status.ended for trial in trials)
        if before is None:
            return (
                [f"continues: {count} of {self._total} trials ended before"]
                if count and not self._live
                else []
            )
        lines = []
        new = Trial(number=0, values={}, attempts=1)
        for trial in trials:
            earlier = before.get(trial.number, new)
            if trial.attempts > max(earlier.attempts, 1):
                reason = f": {error_line(trial.error)}" if trial.error else ""
                lines.append(f"trial {trial.number} begins again, attempt {trial.attempts}{reason}")
            has_ended = trial.status.ended and not earlier.status.ended
            if has_ended and (self._live is None or trial.status is Status.FAILED):
                lines.append(f"{self._end_of(trial)} ({count} of {self._total} ended)")
        return lines

    def _end_of(self, trial: Trial) -> str:
        """How a trial ended, with its values and its time."""
        match trial.status:
            case Status.STOPPED:
                outcome = f"stopped early at {self._done(trial)}: {percent_text(trial.latest)}, "
            case Status.FINISHED:
                outcome = f"finished: {percent_text(trial.latest)}, "
            case _:
                outcome = f"{trial.status}: {error_line(trial.error)}; "
        named = zip(self._keys, short_keys(self._keys), strict=True)
        values = (f"{words} {value_text(trial.current[k])}, " for k, words in named if k in trial.current)
        return f"trial {trial.number} {outcome}{''.join(values)}{duration_text(trial.seconds)}"

    def drawn(self, trials: Sequence[Trial]) -> RenderableType:
        """How far the sweep is, the running trials, the best of those that ended."""
        running = [trial for trial in trials if trial.status is Status.RUNNING]
        # A score and an intermediate score come from different probes: the list holds either, never both.
        finished = [trial for trial in ranked(trials) if trial.status is Status.FINISHED]
        best = finished or [trial for trial in ranked(trials) if trial.status is Status.STOPPED]
        lines: list[RenderableType] = [self._bar, Text(_summary(trials), no_wrap=True, overflow="ellipsis")]
        if running or best:
            rows = [*running[:MOST_RUNNING], *best[:MOST_BEST]]
            figures: dict[str, Callable[[Trial], str]] = {
                "done": self._done,
                "k-NN": lambda trial: percent_text(last_intermediate(trial)),
                "score": lambda trial: percent_text(final_score(trial)),
                "time": lambda trial: duration_text(trial.seconds),
            }
            lines += ["", trial_table(rows, self._keys, figures, console, next(iter(best), None))[0]]
        if len(running) > MOST_RUNNING:
            lines.append(Text(f"... and {len(running) - MOST_RUNNING} more running", style="dim"))
        return Group(*lines)

    def _done(self, trial: Trial) -> str:
        reached = trial.intermediate_scores[-1].milestone if trial.intermediate_scores else 0
        return f"{self._milestones if trial.status is Status.FINISHED else reached}/{self._milestones}"


def _summary(trials: Sequence[Trial]) -> str:
    """How many run, how the others ended, and the best so far."""
    counts = outcome_counts(trial for trial in trials if trial.status is not Status.WAITING)
    if scores := [score for trial in trials if (score := final_score(trial)) is not None]:
        return f"{counts}, best score {percent_text(max(scores))}"
    if scores := [score for trial in trials if (score := last_intermediate(trial)) is not None]:
        return f"{counts}, best k-NN score so far {percent_text(max(scores))}"
    return counts or "waiting for the first trial"
