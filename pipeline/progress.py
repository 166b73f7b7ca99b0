"""The progress bar of everything that takes more than a few seconds."""

import sys
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

# Progress is for eyes; standard output is for results.
console = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(task: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """A bar on standard error; yields `advance(steps=1, note="")`.

    Without a terminal nothing is drawn but a line when the task ends, so that logs stay readable.
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

        def advance(steps: int = 1, note: str | None = None) -> None:
            progress.update(bar, advance=steps)
            if note is not None:
                progress.update(bar, note=note)

        yield advance
