"""One trial: swept values -> RunConfig -> stages up to `validate` -> score. It knows no Ray: it reports to a function.

It reads no label of a test clip: `probe.test_split` sets them apart, and the best trial alone is tested, at the end.
"""

import json
import math
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from echopair.models.audio_encoder import AudioEncoder
from echopair.pipeline.checks import Stage, check_clips
from echopair.pipeline.config import as_given
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.nearest_neighbours import NeighbourProbe
from echopair.pipeline.evaluation.validation_clips import validation_sets
from echopair.pipeline.run import RunResult, open_stores, train_and_evaluate, training_folder
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import steps_done
from echopair.pipeline.training.pretrain import Diverged
from echopair.tuning.context import TrialContext
from echopair.tuning.schedulers import (
    INTERMEDIATE_SCORE,
    MILESTONE,
    ORIGIN,
    STEP,
    WORST_SCORE,
    PbtConfig,
)
from echopair.tuning.trial_folder import CONFIG_FILE, ERROR_FILE, SCORES_FILE, TrialFolder, partial_folder
from echopair.tuning.trials import Status

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Origin:
    """Where a trial of a population continues: another trial's training, or its own, as it was at a milestone.

    Args:
        donor: number of the trial that trained up to there.
        milestone: at which its training was copied.
        step: steps done by then.
        lineage: values and from which step on they held: [{"step": 0, "values": {...}}, ...].
    """

    donor: int
    milestone: int
    step: int
    lineage: list[dict[str, Any]]


def run_trial(
    context: TrialContext,
    number: int,
    values: Mapping[str, Any],
    report: Report,
    origin: Origin | None = None,
) -> None:
    """Run a trial to its end, or continue it.

    Args:
        report: gets each intermediate score, {"milestone", "intermediate_score", "step", "steps", "lineage",
            "origin"}, those of earlier attempts first, and at the end {"status", "score", "error"} as well. It may end
            the trial by raising.
        origin: of a population, where the trial continues.

    Raises:
        Exception: what crashed it, after it is written to the trial's `error.txt`.
    """
    folder = TrialFolder(context.folder, number)
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / ERROR_FILE).unlink(missing_ok=True)  # of an earlier attempt
    lineage = lineage_of(values, origin)
    common = {"lineage": lineage, ORIGIN: origin.milestone if origin else 0}

    def end(status: Status, score: float | None, error: str = "", **last: Any) -> None:
        row = {
            MILESTONE: context.settings.sweep.milestones,
            INTERMEDIATE_SCORE: WORST_SCORE,
            **last,
            **common,
        }
        report({**row, "status": status.value, "score": score, "error": error})

    if folder.refusal:  # it had to end its own process, see `TrialFolder.refuse`
        end(Status.FAILED, None, folder.refusal)
        return
    try:
        score, last = _train_and_score(
            context, folder, lineage, origin, lambda row: report({**row, **common})
        )
        end(Status.FINISHED, score, **last)
    except Diverged as error:
        end(Status.DIVERGED, WORST_SCORE, str(error))
    except UserError as error:
        # The same values would fail again, until a person fixes the cause.
        end(Status.FAILED, None, str(error))
    except Exception:
        with suppress(OSError):  # a full disk hides no error
            (folder.path / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")
        raise


def _train_and_score(
    context: TrialContext,
    folder: TrialFolder,
    lineage: list[dict[str, Any]],
    origin: Origin | None,
    report: Report,
) -> tuple[float, dict[str, Any]]:
    """The score and the row of the last milestone."""
    config = context.run_of(folder.number, lineage)
    text = yaml.safe_dump(as_given(config), sort_keys=False)
    write_atomically(folder.path / CONFIG_FILE, text)
    own = config.model_copy(update={"work_folder": folder.path})
    result = RunResult(own)
    result.clips = context.clips_of(own)
    training = training_folder(own, result.clips)
    donor = TrialFolder(context.folder, origin.donor).copy_at(origin.milestone) if origin else None
    folder.begin_training(training, donor)
    sweep = context.settings.sweep

    def may_be_copied(milestone: int) -> bool:
        """Whether others may continue from the training as it is now, and this trial may be paused."""
        scheduler = sweep.scheduler
        is_last = milestone >= sweep.milestones
        return isinstance(scheduler, PbtConfig) and not is_last and milestone % scheduler.interval == 0

    def keep_and_report(row: dict[str, Any], is_current: bool = True) -> None:
        if is_current and may_be_copied(row[MILESTONE]):
            folder.keep_training(training, row[MILESTONE])
        report(row)

    after = origin.step if origin else 0
    stores = open_stores(own, result)
    check_clips(own, Stage.VALIDATE, stores)
    sets = validation_sets(stores, own.probe, own.probe_corpora)
    probe = NeighbourProbe(sets, own.probe, own.embed)
    scores = _IntermediateScores(folder, sweep.milestones, after, probe.score, report, may_be_copied)
    done = math.inf if training.exists() else steps_done(partial_folder(training))
    with cpu_threads(config.threads):
        for row in scores.rows:
            if after < row[STEP] <= done:  # of a later one the checkpoint is missing, and it comes again
                keep_and_report(row, is_current=row[STEP] == done)
        while True:
            try:
                train_and_evaluate(own, Stage.VALIDATE, result, scores)
                break
            except _DecisionPending as pending:
                row = pending.row
            keep_and_report(row)  # out here nothing is left of the training, such as memory of a GPU
    last = scores.rows[-1]
    return result.score if sweep.score == "linear_probe" else last[INTERMEDIATE_SCORE], last


class _DecisionPending(Exception):  # noqa: N818  (what happened)
    """The trial may be paused now. It leaves the training, to release its lock.

    Ray keeps a paused function where it reports, for as long as no other trial needs its process, and may call the
    trial's function again in another process.
    """

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self.row = row


class _IntermediateScores(TrainingCallback):
    """Scores the encoder in the course of a training, and reports each score once its checkpoint is on disk.

    Args:
        folder: of the trial; keeps the scores for later attempts.
        after: steps; scores up to there are another trial's, and not reported.
        may_be_copied: whether the training is left at a milestone instead, see `_DecisionPending`.
    """

    def __init__(
        self,
        folder: TrialFolder,
        milestones: int,
        after: int,
        score: Callable[[AudioEncoder], float],
        report: Report,
        may_be_copied: Callable[[int], bool],
    ) -> None:
        self.milestones = milestones
        self._after = after
        self._file = folder.path / SCORES_FILE
        self.rows = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else []
        self._score = score
        self._report = report
        self._may_be_copied = may_be_copied

    def on_milestone(self, milestone: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        """Score the encoder, unless an attempt did whose checkpoint is missing."""
        if all(row[STEP] != step for row in self.rows):
            if step == steps:  # a training of few steps has fewer milestones
                milestone = self.milestones
            score = self._score(encoder)
            self.rows.append({MILESTONE: milestone, INTERMEDIATE_SCORE: score, STEP: step, "steps": steps})
            write_atomically(self._file, json.dumps(self.rows) + "\n")
        self._current = next(row for row in self.rows if row[STEP] == step)

    def on_checkpoint(self, _milestone: int) -> None:
        """Report the score."""
        if self._current[STEP] <= self._after:
            return
        if self._may_be_copied(self._current[MILESTONE]):
            raise _DecisionPending(self._current)
        self._report(self._current)


def lineage_of(values: Mapping[str, Any], origin: Origin | None) -> list[dict[str, Any]]:
    """Values and from which step on they hold: those of the origin, then the trial's own where they differ."""
    if origin is None:
        return [{"step": 0, "values": dict(values)}]
    current: dict[str, Any] = {}
    for change in origin.lineage:
        current |= change["values"]
    changed = {key: value for key, value in values.items() if current.get(key) != value}
    return origin.lineage + ([{"step": origin.step, "values": changed}] if changed else [])
