"""Tables for the terminal: what a probe found, and how runs compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from echopair.pipeline.tracking import TrackingConfig
from echopair.pipeline.tracking.runs import RunSummary, list_runs

SCORES = ("accuracy", "mean_average_precision")
# What people vary most.
COMPARED_PARAMETERS = (
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


def probe_title(summary: Mapping[str, Any]) -> str:
    """What a probe's table is about, in a line."""
    metric = str(summary["metric"]).replace("_", " ")
    return f"{summary['corpus']}: {metric} of a linear probe, {summary['clips_tested']} clips, {summary['protocol']}"


def probe_table(summary: dict[str, Any]) -> Table:
    """The features that were probed, chance first, with score, 95 % interval and macro accuracy."""
    headings, rows = probe_rows(summary)
    table = Table()
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == "pretrained" else "")
    return table


def probe_rows(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of such a table."""
    results = summary["features"]
    headings = ["features", str(summary["metric"]).replace("_", " "), "95 % interval"]
    rows = []
    for name, result in results.items():
        interval = result["interval"]
        spread = f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else ""
        rows.append([name, f"{result['score']:.1%}", spread])
    if any(result["macro_accuracy"] is not None for result in results.values()):
        headings.append("macro accuracy")
        for row, result in zip(rows, results.values(), strict=True):
            macro = result["macro_accuracy"]
            row.append("" if macro is None else f"{macro:.1%}")
    return headings, rows


def validation_line(validations: Mapping[str, Mapping[str, Any]], score: float) -> str:
    """The score by which a sweep compares runs, and what it is of."""
    return f"validation score {score:.1%}: {validated_by(validations)}"


def validated_by(validations: Mapping[str, Mapping[str, Any]]) -> str:
    """What a validation score is of: "accuracy of a linear probe on 320 validation clips of esc10, 4 parts"."""
    told = [
        f"{str(one['metric']).replace('_', ' ')} of a linear probe on {one['clips']} validation clips of {name}, "
        f"{one['protocol']}"
        for name, one in validations.items()
    ]
    return told[0] if len(told) == 1 else f"mean of {'; '.join(told)}"


def comparison_table(config: TrackingConfig, work_folder: Path) -> Table | str:
    """The recorded runs, best probe score first; those without a score last.

    Parameters are shown that differ between the runs.
    """
    runs = list_runs(config, work_folder)
    if not runs:
        return f"No runs are recorded below {work_folder} yet; `echopair run` makes one."
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
    for run in sorted(runs, key=best, reverse=True):
        table.add_row(
            run.name,
            *_percent(run, scores),
            *_percent(run, baselines),
            *(_parameter(run, key) for key in varied),
            _duration(run.duration_seconds),
            f"{run.start.astimezone():%m-%d %H:%M}",
            *([run.status.lower()] if has_unfinished else []),
        )
    return table


def _percent(run: RunSummary, keys: Sequence[str]) -> list[str]:
    return [f"{run.metrics[key]:.1%}" if key in run.metrics else "" for key in keys]


def _parameter(run: RunSummary, key: str) -> str:
    value = run.parameters.get(key, "")
    return "" if value == "None" else value


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
