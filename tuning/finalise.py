"""The end of a sweep: the best trial is evaluated once on its test folds, and the results are written and logged."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from echopair.pipeline.checks import Stage
from echopair.pipeline.config import as_given
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.evaluation import EVALUATIONS
from echopair.pipeline.evaluation.validation import describe_validation
from echopair.pipeline.layers import flatten
from echopair.pipeline.progress import console
from echopair.pipeline.run import RunResult, draw_preview, train_and_evaluate
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.tracking import TrackedRun, TrackingError
from echopair.pipeline.tracking.outputs import log_outputs
from echopair.tuning.config import SweepSettings
from echopair.tuning.context import TrialContext
from echopair.tuning.state import SETTINGS_FILE, SweepState
from echopair.tuning.tracking import child_of
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial

BEST_FILE = "best.yaml"


@dataclass
class SweepResult:
    """What a sweep left behind.

    Args:
        best: the finished trial with the highest score; None if none finished.
        sources: of the validation clips that a score comes from; None if that is not known.
        probes: what the best trial got on the test folds, by corpus, as probe.json holds it.
        unrecorded: trials that are not in the tracking store.
        untracked: why the sweep itself could not be logged; empty if it was.
    """

    folder: Path
    keys: list[str]
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    sources: int | None = None
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    best_file: Path | None = None
    encoder: Path | None = None
    report: list[Path] = field(default_factory=list)
    unrecorded: list[int] = field(default_factory=list)
    untracked: str = ""

    @property
    def failed(self) -> int:
        """Trials that ended with an error."""
        return sum(trial.status == Status.FAILED for trial in self.trials)


def finalise(
    state: SweepState,
    context: TrialContext,
    parent: TrackedRun,
    result: SweepResult,
    began: float | None,
) -> None:
    """Evaluate the best trial on its test folds, and write what the sweep found.

    Args:
        began: when the sweep did, by the monotonic clock; None if an earlier driver has begun it.
    """
    from echopair.tuning.report.outcomes import Outcomes
    from echopair.tuning.report.write import write_report

    result.trials, result.best = state.trials, state.best
    run: RunResult | None = None
    if result.best is not None:
        config = context.config_of(result.best)
        result.best_file = state.folder / BEST_FILE
        text = yaml.safe_dump(as_given(config), sort_keys=False)
        write_atomically(result.best_file, _best_header(state, result.best) + text)
        run = RunResult(config)
        run.clips = context.clips_of(config)
        TrialFolder(state.folder, result.best.number).publish(config.work_folder.absolute())
        with cpu_threads(config.threads):
            train_and_evaluate(config, Stage.EVALUATE, run)
            draw_preview(config, run)
        result.probes, result.encoder = run.summaries("probe"), run.encoder
    if run is not None and state.settings.sweep.score == "linear_probe":
        result.sources = sum(validation["sources"] for validation in run.summaries("validation").values())
    with console.status("writing the report"):
        result.report = write_report(
            Outcomes(result.trials, state.settings.sweep.space, result.sources, _chance(run)),
            state.folder,
            state.settings.sweep.sweep_name,
            about="" if run is None else _about(state.settings, run),
            tests=list(result.probes.values()),
            seconds_of_wall_time=None if began is None else time.monotonic() - began,
        )
    try:
        with console.status("logging the sweep to MLflow"):
            _log(state, parent, result, run)
    except TrackingError as error:
        result.untracked = str(error)


def _chance(run: RunResult | None) -> float | None:
    """The score of guessing, where trials are scored on the one corpus that is probed."""
    probes = {} if run is None else run.summaries("probe")
    if run is None or len(probes) != 1 or probes.keys() != run.summaries("validation").keys():
        return None
    (probe,) = probes.values()
    return float(probe["features"]["chance"]["score"])


def _about(settings: SweepSettings, run: RunResult) -> str:
    """Which clips and which probes scores and intermediate scores come from."""
    neighbours = "a nearest-neighbour probe on those clips in the course of a training"
    if settings.sweep.score != "linear_probe":
        return f"Score: the last one of {neighbours}."
    scored = describe_validation(run.summaries("validation"))
    return (
        f"Score: {scored}. Intermediate score: that of {neighbours}, by which trials are stopped; not to be compared "
        "with scores."
    )


def _log(state: SweepState, parent: TrackedRun, result: SweepResult, run: RunResult | None) -> None:
    metrics: dict[str, float] = {
        f"trials_{status.value}": sum(trial.status == status for trial in result.trials)
        for status in Status
        if status.ended
    }
    files = [*result.report, state.folder / SETTINGS_FILE]
    if result.best is not None and run is not None and result.best_file is not None:
        log_outputs(child_of(state, parent, result.best), run.config, run)
        files.append(result.best_file)
        metrics["best_score"] = result.best.score or 0.0
        for (name, corpus), summary in run.evaluations.items():
            found = EVALUATIONS[name].metrics(corpus, summary)
            metrics |= {f"test/{metric}": value for metric, value in found.items()}
    parent.log_parameters(dict(flatten(state.settings.sweep.model_dump(mode="json"))))
    for file in files:
        parent.log_artifacts(file)
    parent.log_metrics(metrics)
    if not result.unrecorded:
        parent.end("FINISHED")


def _best_header(state: SweepState, best: Trial) -> str:
    score, again = "validation score", "gives that score"
    if state.settings.sweep.score != "linear_probe":
        score, again = "last intermediate score", "trains that encoder"
    return (
        f"# Trial {best.number} of the sweep {state.settings.sweep.sweep_name}: {score} {best.score:.4f}.\n"
        f"# `echopair run` of this file {again} again; on a CPU bit for bit, also in another work_folder.\n"
    )
