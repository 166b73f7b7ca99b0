"""A sweep as it goes: on a terminal one table in place, in a log a line for each trial that ends."""

import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from echopair.pipeline.progress import console
from echopair.tuning.results import (
    NARROWEST_TEXT,
    Column,
    Layout,
    cut,
    duration_text,
    error_line,
    number_column,
    percent_text,
    ranked,
    short_keys,
    status_words,
    value_columns,
    value_text,
)
from echopair.tuning.trials import Status, Trial

MOST_LINES = 16
MOST_BEST = 5
# A trial's seconds and the elapsed time go on by themselves; drawing takes some milliseconds.
DRAWN_PER_SECOND = 2
BAR_CHARACTERS = 28  # as the bars of the stages
NARROWEST_BAR = 4
MILESTONE_BAR_CHARACTERS = 10
READING = "reading"


class SweepProgress:
    """Shows a sweep while it runs, on standard error.

    A context manager: what it drew is gone when it is left, be it by Ctrl-C. Without a terminal it writes a line
    whenever a trial ends or begins again, so that logs stay readable.

    Args:
        name: of the sweep.
        total: trials that the sweep will have.
        keys: dotted, that are swept.
        milestones: readings in the course of a whole training.
    """

    def __init__(self, name: str, total: int, keys: Sequence[str], milestones: int) -> None:
        self._view = SweepView(name, total, keys, milestones, began=time.monotonic())
        self._known: Mapping[int, Trial] | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        # `console` alone is no witness: FORCE_COLOR makes it believe in a terminal, and TERM=dumb cannot redraw.
        if sys.stderr.isatty() and console.is_interactive:
            self._live = Live(
                get_renderable=lambda: self._view,
                console=console,
                refresh_per_second=DRAWN_PER_SECOND,
                transient=True,
                # Prints come out above the table, but those to a file must stay in the file.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, trials: Sequence[Trial]) -> None:
        """Show the sweep as it stands now; cheap, so that it may be called many times a second.

        Args:
            trials: all that were proposed so far. What has ended by the first call is not said again.
        """
        self._view = self._view.updated(trials)
        for line in self._news(trials):
            self.say(line)

    def say(self, message: str) -> None:
        """Print a line that stays, above the table where there is one."""
        # A log's lines stay whole; a terminal's are broken between words.
        console.print(Text(message), soft_wrap=self._live is None)

    def _news(self, trials: Sequence[Trial]) -> list[str]:
        """What happened since the last call; on a terminal only what a person may want to act upon."""
        before, self._known = self._known, {trial.number: trial for trial in trials}
        ended = sum(trial.status.ended for trial in trials)
        if before is None:
            goes_on = self._live is None and ended
            return [f"goes on: {ended} of {self._view.total} trials ended before"] if goes_on else []
        lines = []
        count = sum(trial.status.ended and _has_ended(before.get(trial.number)) for trial in trials)
        for trial in trials:
            known = before.get(trial.number)
            if trial.attempts > max(known.attempts if known else 1, 1):
                reason = f": {error_line(trial.error)}" if trial.error else ""
                lines.append(f"trial {trial.number} begins again, attempt {trial.attempts}{reason}")
            if trial.status.ended and not _has_ended(known):
                count += 1
                if self._live is None or trial.status is Status.FAILED:
                    lines.append(f"{self._end_of(trial)} ({count} of {self._view.total} ended)")
        return lines

    def _end_of(self, trial: Trial) -> str:
        match trial.status:
            case Status.STOPPED:
                milestone = trial.readings[-1].milestone if trial.readings else 0
                outcome = (
                    f"stopped early at {milestone}/{self._view.milestones}: {percent_text(trial.latest)}, "
                )
            case Status.FINISHED:
                outcome = f"finished: {percent_text(trial.latest)}, "
            case _:
                outcome = f"{trial.status}: {error_line(trial.error)}; "
        given = [
            f"{words} {value_text(trial.current[key])}, "
            for key, words in zip(self._view.keys, short_keys(self._view.keys), strict=True)
            if key in trial.current
        ]
        return f"trial {trial.number} {outcome}{''.join(given)}{duration_text(trial.seconds)}"


@dataclass(frozen=True)
class SweepView:
    """What stands on the terminal: how far the sweep is, the running trials, the best of those that ended.

    Drawn from another thread, hence frozen. It is never wider than the terminal nor higher than 16 lines.

    Args:
        name: of the sweep.
        total: trials that the sweep will have.
        keys: dotted, that are swept.
        milestones: readings in the course of a whole training.
        began: when the sweep did; as `told_at` in seconds of the monotonic clock.
        trials: as they stand.
        told_at: by number, when a running trial's seconds were last told; they go on from there.
        slots: how many trials run at once. Nobody says it: the most that were seen to.
    """

    name: str
    total: int
    keys: Sequence[str]
    milestones: int
    began: float
    trials: Sequence[Trial] = ()
    told_at: Mapping[int, float] = field(default_factory=dict)
    slots: int = 1

    def updated(self, trials: Sequence[Trial]) -> Self:
        """The view of the trials as they stand now."""
        now = time.monotonic()
        told_before = {trial.number: trial.seconds for trial in self.trials}
        running = [trial for trial in trials if trial.status is Status.RUNNING]
        told_at = {
            trial.number: self.told_at.get(trial.number, now)
            if told_before.get(trial.number) == trial.seconds
            else now
            for trial in running
        }
        slots = max(self.slots, len(running))
        return replace(self, trials=tuple(trials), told_at=told_at, slots=slots)

    def left_seconds(self) -> float | None:
        """An estimate of the time until the last trial ends; None before the first one ended.

        A trial takes as long as those that ended did on average; one that outlives them, or is past where others were
        stopped, goes on to its last milestone at its own pace.
        """
        took = [
            trial.seconds
            for trial in self.trials
            if trial.status.ended and trial.status is not Status.FAILED and trial.seconds > 0
        ]
        if not took:
            return None
        average = sum(took) / len(took)
        running = [self._left_of(trial, average) for trial in self.trials if trial.status is Status.RUNNING]
        ended = sum(trial.status.ended for trial in self.trials)
        to_begin = max(self.total - ended - len(running), 0)
        return max((sum(running) + to_begin * average) / self.slots, *running, 0.0)

    def _left_of(self, trial: Trial, average: float) -> float:
        spent = self._seconds(trial)
        stops = [
            one.readings[-1].milestone for one in self.trials if one.status is Status.STOPPED and one.readings
        ]
        latest = trial.readings[-1] if trial.readings else None
        if latest is None or (spent < average and not (stops and latest.milestone >= max(stops))):
            return max(average - spent, 0.0)
        return max(latest.seconds * self.milestones / latest.milestone - spent, 0.0)

    def _seconds(self, trial: Trial) -> float:
        """Seconds of a trial; a running one's go on by themselves."""
        now = time.monotonic()
        return trial.seconds + now - self.told_at.get(trial.number, now)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        trials, width = self.trials, options.max_width
        yield self._first_line(width)
        yield Text(cut(self._second_line(), width))
        running = [place for place, trial in enumerate(trials) if trial.status is Status.RUNNING]
        best, best_title, best_heading = self._best()
        if not running and not best:
            return
        layout = Layout(self._columns(), width)
        # The last line of a terminal is left to the cursor.
        room = min(MOST_LINES, options.size.height - 1) - 3 - layout.heading_lines
        best = best[: max(min(MOST_BEST, room // 2 - 1), 0)]
        room -= len(best) + 1 if best else 0
        shown = running if len(running) <= room else running[: max(room - 1, 0)]

        yield Text("")
        yield layout.table(shown)
        if len(running) > len(shown):
            yield Text(f"... and {len(running) - len(shown)} more running", style="dim")
        if best:
            heading_room = layout.end_of(READING) - len(best_title)
            yield Text(f"{best_title}{best_heading:>{max(heading_room, 0)}}", style="bold")
            yield layout.table(best, bold=best[0], headings=False)

    def _first_line(self, width: int) -> Text:
        """Name, bar, how many ended, the time it took and may still take."""
        ended = sum(trial.status.ended for trial in self.trials)
        facts = f"{ended} of {self.total} ended, {duration_text(time.monotonic() - self.began)}"
        left = self.left_seconds()
        if left:
            facts += f", about {_rounded(left)} left"
        room = width - cell_len(facts) - 4  # two gaps
        name = cut(self.name, max(room - BAR_CHARACTERS // 2, NARROWEST_TEXT))
        bar_width = min(room - cell_len(name), BAR_CHARACTERS)
        share = min(ended / max(self.total, 1), 1.0)
        bar = [_bar(share, bar_width)] if bar_width >= NARROWEST_BAR else []
        line = Text("  ").join([Text(name, style="bold"), *bar, Text(facts)])
        line.truncate(width, overflow="ellipsis")
        return line

    def _second_line(self) -> str:
        """How many run and how the others ended, and the best so far."""
        counted = Counter(trial.status for trial in self.trials)
        shown = (Status.RUNNING, Status.STOPPED, Status.DIVERGED, Status.FAILED)
        parts = [f"{counted[status]} {status_words(status)}" for status in shown if counted[status]]
        scores = [trial.latest or 0.0 for trial in self.trials if trial.status is Status.FINISHED]
        readings = [trial.readings[-1].score for trial in self.trials if trial.readings]
        if scores:
            parts.append(f"best {percent_text(max(scores))}")
        elif readings:
            parts.append(f"best reading {percent_text(max(readings))}")
        return ", ".join(parts) or "waiting for the first trial"

    def _best(self) -> tuple[list[int], str, str]:
        """Places of the best that ended, and what they and their column are called.

        A score and a reading come from different probes: one list holds either, never both.
        """
        places = {trial.number: place for place, trial in enumerate(self.trials)}
        best = ranked(self.trials)
        for status, title, heading in (
            (Status.FINISHED, "best finished", "score"),
            (Status.STOPPED, "best stopped early", READING),
        ):
            ended = [places[trial.number] for trial in best if trial.status is status]
            if ended:
                return ended, title, heading
        return [], "", ""

    def _columns(self) -> list[Column]:
        # Of all trials, also those that are not shown: columns keep their widths as rows come and go.
        trials = self.trials
        milestones = [_Milestones(trial, self.milestones) for trial in trials]
        count_width = len(f"{self.milestones}/{self.milestones}")
        return [
            number_column("trial", [str(trial.number) for trial in trials]),
            *value_columns(trials, self.keys),
            Column("done", milestones, "left", MILESTONE_BAR_CHARACTERS + 1 + count_width, count_width),
            number_column(READING, [percent_text(trial.latest) for trial in trials]),
            number_column("time", [duration_text(self._seconds(trial)) for trial in trials]),
        ]


class _Milestones:
    """How far a trial is: "━━━━───── 4/9", or "4/9" alone where there is no room for a bar."""

    def __init__(self, trial: Trial, milestones: int) -> None:
        reached = trial.readings[-1].milestone if trial.readings else 0
        self._reached = milestones if trial.status is Status.FINISHED else reached
        self._milestones = milestones

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        most = len(str(self._milestones))
        count = f"{self._reached:>{most}}/{self._milestones}"
        bar_width = options.max_width - len(count) - 1
        if bar_width < NARROWEST_BAR:
            yield Text(count)
        else:
            yield Text.assemble(_bar(self._reached / max(self._milestones, 1), bar_width), " ", count)


def _has_ended(trial: Trial | None) -> bool:
    return trial is not None and trial.status.ended


def _bar(share: float, width: int) -> Text:
    """A bar that is told apart by weight as well, for terminals without colours."""
    done = round(share * width)
    return Text.assemble(("━" * done, "green"), ("─" * (width - done), "dim"))


def _rounded(seconds: float) -> str:
    """An estimate says no more than it knows: tens of seconds, then minutes."""
    if seconds < 60:
        return f"{10 * math.ceil(seconds / 10)} s"
    return f"{round(seconds / 60)} min" if seconds < 3600 else duration_text(seconds)
