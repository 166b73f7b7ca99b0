"""One trial: swept values -> RunConfig -> stages up to `validate` -> score. Knows no Ray: it reports to a callable.

It reads no label of a test clip: `probe.test_split` sets them apart, and the best trial alone is tested, by `conclude`.
"""

import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from echopair.pipeline.checks import Stage
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.errors import UserError
from echopair.pipeline.run import RunResult, learn, training_folder
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.training.pretrain import Diverged
from echopair.tuning.course import Course, Meeting
from echopair.tuning.task import Report, TrialTask, clips_of, trial_config
from echopair.tuning.trial_folder import (
    CONFIG_FILE,
    ERROR_FILE,
    go_on_from,
    note_training,
    refusal,
    trial_folder,
)
from echopair.tuning.trials import Status

WORST_SCORE = 0.0


@dataclass(frozen=True)
class Inherited:
    """Where a trial of a population goes on: another trial's training, or its own, as it was at a milestone.

    Args:
        lineage: values from which step on, the first from step 0: [{"step": 0, "values": {...}}, ...].
        step: steps done.
        files: folder with the training's files as they were then.
    """

    lineage: list[dict[str, Any]]
    step: int
    files: Path


def run_trial(
    task: TrialTask,
    number: int,
    values: Mapping[str, Any],
    report: Report,
    inherited: Inherited | None = None,
) -> None:
    """Run a trial to its end, or go on with it.

    Args:
        task: the sweep's.
        number: of the trial.
        values: of the swept keys.
        report: is handed each reading, {"milestone", "reading", "step", "steps", "lineage"}, those of earlier
            attempts first, and at the end {"status", "score", "error"} as well. It may end the trial by raising.
        inherited: the training to go on with, for populations.

    Raises:
        Exception: what crashed it, after it is written to the trial's `error.txt`.
    """
    folder = trial_folder(task.folder, number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR_FILE).unlink(missing_ok=True)  # of an earlier attempt
    lineage = lineage_of(values, inherited)

    def end(status: Status, score: float | None, error: str) -> None:
        ended = {"status": status.value, "score": score, "error": error, "lineage": lineage}
        report({"milestone": task.settings.sweep.readings, "reading": WORST_SCORE, **ended})

    if refused := refusal(task.folder, number):  # it had to end its own process, see `refuse`
        end(Status.FAILED, None, refused)
        return
    try:
        _train_and_score(task, number, lineage, report, inherited)
    except Diverged as error:
        end(Status.DIVERGED, WORST_SCORE, str(error))
    except UserError as error:
        # The same values would fail again, until a person mends what made them fail.
        end(Status.FAILED, None, str(error))
    except Exception:
        with suppress(OSError):  # a full disk hides no error
            (folder / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")
        raise


def _train_and_score(
    task: TrialTask,
    number: int,
    lineage: list[dict[str, Any]],
    report: Report,
    inherited: Inherited | None,
) -> None:
    config = trial_config(task, number, lineage[0]["values"], lineage[1:])
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    write_atomically(trial_folder(task.folder, number) / CONFIG_FILE, text)
    result = RunResult(config)
    result.clips = clips_of(task, config)
    training = training_folder(config, result.clips)
    note_training(task.folder, number, training.relative_to(config.work_folder.absolute()).as_posix())
    if inherited is not None:
        go_on_from(inherited.files, training)
    after = 0 if inherited is None else inherited.step
    course = Course(task, number, config, result.clips, training, lineage, after, report)
    with cpu_threads(config.threads):
        while True:
            try:
                learn(config, Stage.VALIDATE, result, course)
                break
            except Meeting as meeting:
                row = meeting.row
            course.report(row)  # out here nothing is left of the training, such as memory of a GPU
        last = course.finish()
    score = result.score if task.settings.sweep.score == "linear_probe" else last["reading"]
    report({**last, "lineage": lineage, "status": Status.FINISHED.value, "score": score, "error": ""})


def lineage_of(values: Mapping[str, Any], inherited: Inherited | None) -> list[dict[str, Any]]:
    """Values from which step on: those inherited, then the trial's own where they differ."""
    if inherited is None:
        return [{"step": 0, "values": dict(values)}]
    current: dict[str, Any] = {}
    for change in inherited.lineage:
        current |= change["values"]
    changed = {key: value for key, value in values.items() if current.get(key) != value}
    return inherited.lineage + ([{"step": inherited.step, "values": changed}] if changed else [])
