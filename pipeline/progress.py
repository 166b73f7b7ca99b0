"""The progress bar of everything that takes more than a few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_PER_LINE = 60.0

# Progress is for eyes; standard output is for results.
console = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(task: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """A bar on standard error; yields `advance(steps=1, note="")`, steps of which may be fractions.

    Without a terminal it is a line a minute, so that logs stay readable.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(task, total=total, completed=done, note="")

        printed_at = time.monotonic()

        def advance(steps: float = 1, note: str | None = None) -> None:
            nonlocal printed_at
            progress.update(bar, advance=steps)
            if note is not None:
                progress.update(bar, note=note)
            if progress.disable and time.monotonic() - printed_at >= SECONDS_PER_LINE:
                printed_at = time.monotonic()
                state = progress.tasks[0]
                ending = f", {state.fields['note']}" if state.fields["note"] else ""
                console.print(f"{task}: {state.completed:.0f} of {total} {unit}{ending}", markup=False)

        yield advance
