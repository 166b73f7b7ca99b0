"""Tables for the terminal: what an evaluation found, and how runs compare."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from echopair.pipeline.embed import PRETRAINED
from echopair.pipeline.evaluation.base import ResultTable
from echopair.pipeline.pages import printable
from echopair.pipeline.tracking import TrackingConfig
from echopair.pipeline.tracking.runs import RunSummary, list_runs

SCORES = ("accuracy", "mean_average_precision")
# What people vary most.
COMPARED_PARAMETERS = (
    "objective.name",
    "objective.temperature",
    "augment.policy.name",
    "augment.strength",
    "encoder.name",
    "encoder.width",
    "crops.crop_seconds",
    "crops.positives.name",
    "crops.views",
    "pretrain.batch_pairs",
    "pretrain.learning_rate",
    "pretrain.steps",
    "pretrain.epochs",
    "pretrain.minutes",
    "seed",
)


def rich_table(table: ResultTable) -> Table:
    """A table of an evaluation for the terminal."""
    shown = Table()
    for heading in table.headings:
        shown.add_column(heading, justify="right" if shown.columns else "left")
    for row in table.rows:
        shown.add_row(*row, style="bold" if row[0] == PRETRAINED else "")
    return shown


def comparison_table(config: TrackingConfig, work_folder: Path) -> Table | str:
    """The recorded runs, best probe score first; those without a score last.

    Parameters are shown that differ between the runs.
    """
    runs = list_runs(config, work_folder)
    if not runs:
        return (
            f"No runs are recorded below {work_folder} yet; `echopair run` with this work_folder makes one."
        )
    scores = sorted({key for run in runs for key in run.metrics if key.rsplit("/", 1)[-1] in SCORES})
    baselines = [
        f"{score.split('/')[0]}/{name}" for score in scores for name in ("untrained", "mel_statistics")
    ]
    varied = [key for key in COMPARED_PARAMETERS if len({run.parameters.get(key) for run in runs}) > 1]

    def best(run: RunSummary) -> float:
        return max((run.metrics[key] for key in scores if key in run.metrics), default=-1.0)

    corpora = {score.split("/")[0] for score in scores}

    def heading(key: str) -> str:
        corpus, _, name = key.rpartition("/")
        name = name.replace("_statistics", "").replace("_", " ")
        return f"{corpus}\n{name}" if len(corpora) > 1 else name

    # Plain and narrow, so that it stays readable in 80 columns.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    for key in (*scores, *baselines):
        table.add_column(heading(key), justify="right")
    for key in varied:
        table.add_column(key.removesuffix(".name").rpartition(".")[2].replace("_", " "))
    has_unfinished = any(run.status != "FINISHED" for run in runs)
    for name in ("took", "started", *(["status"] if has_unfinished else [])):
        table.add_column(name, no_wrap=True)
    table.add_column("run id", overflow="fold", min_width=16)  # of 32 characters, in two lines of a terminal
    for run in sorted(runs, key=best, reverse=True):
        table.add_row(
            escape(printable(run.name)),
            *_percent(run, scores),
            *_percent(run, baselines),
            *(_parameter(run, key) for key in varied),
            _duration(run.duration_seconds),
            f"{run.start.astimezone():%m-%d %H:%M}",
            *([run.status.lower()] if has_unfinished else []),
            run.run_id,
        )
    return table


def _percent(run: RunSummary, keys: Sequence[str]) -> list[str]:
    return [f"{run.metrics[key]:.1%}" if key in run.metrics else "" for key in keys]


def _parameter(run: RunSummary, key: str) -> str:
    value = run.parameters.get(key, "")
    return "" if value == "None" else escape(printable(value))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
