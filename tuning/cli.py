"""`echopair sweep`, beside the commands of the pipeline; and the entry point of the console script."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from echopair.pipeline import encoder_cli, evaluate_cli  # noqa: F401  (their commands)
from echopair.pipeline.cli import PIPE_COLUMNS, app, main, output
from echopair.pipeline.errors import short_path

if TYPE_CHECKING:
    from echopair.tuning.finalise import SweepResult

__all__ = ["main"]

# Added to the number of failed trials, so that the status differs from those of usage errors and interruptions.
FAILED_TRIALS = 100
MOST_FAILED_COUNTED = 25


@app.command()
def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PRESET or YAML ...] [key=value ...]",
            help="Run and sweep to start from (default: quick; see `echopair presets`), "
            "and what to change, as 'sweep.search={name: random, trials: 32}'",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="SWEEP_FOLDER", help="continue the sweep in this folder", show_default=False),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="try failed trials again, once what made them fail is fixed"),
    ] = False,
) -> None:
    """Trials of swept settings, the best by validation score, and its test accuracy; continues after a kill."""
    if resume is not None and arguments:
        raise typer.BadParameter("--resume takes its settings from the folder; give no others")
    from echopair.tuning.config import compose_sweep
    from echopair.tuning.sweep import resume as resume_sweep
    from echopair.tuning.sweep import sweep as run_sweep

    if resume is not None:
        result = resume_sweep(resume, retry_failed=retry_failed)
    else:
        result = run_sweep(compose_sweep(arguments or []), retry_failed=retry_failed)
    _print(result)
    if result.failed:
        raise typer.Exit(FAILED_TRIALS + min(result.failed, MOST_FAILED_COUNTED))
    if result.unrecorded or result.untracked or result.best is None:
        raise typer.Exit(1)


@app.command()
def presets() -> None:
    """What a run or a sweep can be started from."""
    from echopair.pipeline.layers import PRESETS, SWEEP_PRESETS
    from echopair.pipeline.layers import presets as presets_in

    table = Table("preset", "what it does", box=None, pad_edge=False)
    for name, line in presets_in(PRESETS, SWEEP_PRESETS).items():
        table.add_row(name, line)
    _of_any_width().print(table)


def _of_any_width() -> Console:
    """Standard output for tables: a pipe has no width of its own, and nothing is cut there."""
    return output if output.is_terminal else Console(width=PIPE_COLUMNS)


def _print(result: "SweepResult") -> None:
    from echopair.pipeline.evaluation.probe import probe_table
    from echopair.pipeline.results import rich_table
    from echopair.tuning.report.paired_seeds import settings_table
    from echopair.tuning.results import exit_note, results_table, summary_line

    console = _of_any_width()
    console.print(results_table(result.trials, result.keys, console, result.sources))
    output.print(summary_line(result.trials), style="bold", highlight=False)
    if (settings := settings_table(result.trials, result.keys)) is not None:
        output.print(settings.title, style="bold", soft_wrap=True, highlight=False)
        console.print(rich_table(settings))
    if result.failed:
        again = "once that is fixed, the same command with --retry-failed tries them again"
        output.print(f"{exit_note(result.trials)}; {again}", soft_wrap=True, highlight=False, markup=False)
    for summary in result.probes.values():
        table = probe_table(summary)
        title = f"best trial, test clips evaluated once: {table.title}"
        output.print(title, style="bold", soft_wrap=True, highlight=False)
        output.print(rich_table(table))
    rows = {"report": result.folder / "report.html", "sweep": result.folder}
    if result.best_file is not None:
        rows |= {"best run": result.best_file}
    if result.encoder is not None:
        rows |= {"encoder": result.encoder}
    for name, path in rows.items():
        output.print(f"{name:<9} {short_path(path)}", soft_wrap=True, highlight=False, markup=False)
    if result.unrecorded or result.untracked:
        what = f"{len(result.unrecorded)} trials are" if result.unrecorded else "the report is"
        resume = f"echopair sweep --resume {short_path(result.folder)}"
        message = f"{what} not in MLflow yet; `{resume}` logs what is missing. {result.untracked}"
        output.print(message, soft_wrap=True, highlight=False, markup=False)
