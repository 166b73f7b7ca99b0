"""What the terminal shows at the end of a run: tables, paths and commands to go on with."""

import shlex
from typing import Any

from rich.console import Console

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import short_path
from echopair.pipeline.evaluation import EVALUATIONS
from echopair.pipeline.results import rich_table
from echopair.pipeline.run import RunResult
from echopair.pipeline.tracking import TrackingConfig


def print_result(output: Console, result: RunResult, stage: str) -> None:
    """Print what a run found, and where its files are.

    Args:
        output: of results.
        result: of a run.
        stage: the last one, in lower case.
    """
    for name, evaluation in EVALUATIONS.items():
        for table in evaluation.tables(result.summaries(name)):
            output.print(table.title, style="bold", soft_wrap=True, highlight=False, markup=False)
            if table.rows:
                output.print(rich_table(table))
    if not result.did:
        output.print(f"Nothing to do: every stage up to {stage} was done before ({result.seconds:.1f} s).")
    place = place_arguments(result.config)
    rows: dict[str, object] = {
        f"report of {corpus}": done.folder / "report.html" for corpus, done in result.clips.items()
    }
    if result.encoder is not None:
        rows |= {"encoder": result.encoder}
    if result.folder is not None:
        rows |= {f"embeddings of {corpus}": table for corpus, table in result.tables.items()}
        rows |= {f"classifier of {corpus}": file for corpus, file in result.classifiers.items()}
        rows |= {
            "run": result.folder / "run.yaml",
            "report of the run": result.folder / "report.html",
            "compare runs": f"echopair compare{place}, or in a browser: echopair ui{place}",
        }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        output.print(f"{name:<{width}}  {short_path(value)}", soft_wrap=True, highlight=False, markup=False)


def place_arguments(config: RunConfig) -> str:
    """What other commands need to find the runs of a config, as " work_folder=/data/work"; empty for the default."""
    default = type(config).model_fields
    usual = {"work_folder": default["work_folder"].default, **_tracking_keys(default["tracking"].default)}
    given = {"work_folder": config.work_folder, **_tracking_keys(config.tracking)}
    changed = [f"{key}={short_path(value)}" for key, value in given.items() if value != usual[key]]
    return "".join(f" {shlex.quote(one)}" for one in changed)


def _tracking_keys(config: TrackingConfig) -> dict[str, Any]:
    return {f"tracking.{key}": value for key, value in config.model_dump().items()}
