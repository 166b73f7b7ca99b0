"""The readings in the course of a trial's training, and that each is told once its checkpoint is on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echopair.models.audio_encoder import AudioEncoder
from echopair.pipeline.config import RunConfig
from echopair.pipeline.embed import EMBED_VERSION
from echopair.pipeline.evaluation.nearest_neighbours import NeighbourProbe
from echopair.pipeline.evaluation.validation import VALIDATION_VERSION
from echopair.pipeline.evaluation.validation_clips import validation_sets
from echopair.pipeline.stages import Done, fingerprint, locked, read_done, write_atomically
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import steps_done
from echopair.pipeline.training.pretrain import ENCODER_FOLDER
from echopair.tuning.schedulers import decides_at
from echopair.tuning.task import Report, TrialTask
from echopair.tuning.trial_folder import keep, kept_files

READINGS_PREFIX = "readings-"


@dataclass
class Readings:
    """The readings of a training, a row a milestone, appended before its checkpoint is written.

    They lie with the training: whichever trial goes on with it, or finds it done, reports the same. So whoever reads or
    writes them holds the training's lock.

    Args:
        file: in the training's folder.
    """

    file: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.file.is_file():
            # After the last line break stands nothing, or what a dying process left of a line.
            *lines, rest = self.file.read_text(encoding="utf-8").split("\n")
            self.rows = [json.loads(line) for line in lines]
            if rest:
                write_atomically(self.file, "".join(f"{line}\n" for line in lines))

    def find(self, step: int) -> dict[str, Any] | None:
        """The row of a milestone, by the steps done at it."""
        return next((row for row in self.rows if row["step"] == step), None)

    @property
    def last(self) -> dict[str, Any] | None:
        """The row of the end of the training, if it is there."""
        return next((row for row in self.rows if row["step"] == row["steps"]), None)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row and bring it to disk."""
        self.rows.append(row)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


class Meeting(Exception):  # noqa: N818  (what happened)
    """The scheduler decides here whether the trial goes on. It leaves the training, which may be another one's too.

    Ray keeps a function that it stops or pauses where it reports, for ever if no other trial comes to that process: it
    must not hold what others wait for.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row)
        self.row = row


class Course(TrainingCallback):
    """The readings in the course of a trial's training, and that each is told once its checkpoint is on disk.

    Another trial may be ahead with the same training: one of an earlier sweep, or of a population, whose members come
    to the same values. What was read then is told then as well, for what a trial reads must not depend on who trained.
    """

    def __init__(
        self,
        task: TrialTask,
        number: int,
        config: RunConfig,
        clips: Mapping[str, Done],
        training: Path,
        lineage: Sequence[Mapping[str, Any]],
        after: int,
        report: Report,
    ) -> None:
        self.evaluations = task.settings.sweep.readings
        self._task = task
        self._number = number
        self._config = config
        self._probe = neighbour_probe(config, clips)
        self._name = _readings_name(task, config, clips)
        self._training = training
        self._partial = training.with_name(training.name + ".partial")
        self._lineage = lineage
        self._told = after  # the step up to which all is told, or was another trial's
        self._last_told = 0  # the milestone told last; 0 for one of another trial
        self._report = report
        self._readings: Readings | None = None  # None until the training begins
        self._reached: dict[str, Any] = {}  # the row of the last milestone

    def on_begin(self) -> None:
        """Nobody else works on the training now: tell what was read before."""
        self._readings = Readings(self._partial / self._name)
        done = steps_done(self._partial)
        for row in self._readings.rows:
            if row["step"] <= done:  # of a later one the checkpoint is missing, and it comes again
                self._tell(row, may_keep=row["step"] == done, again=True)

    def on_evaluation(self, milestone: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        """Read the encoder, unless that was done by an attempt of which the checkpoint is gone."""
        assert self._readings is not None
        row = self._readings.find(step)
        if row is None:
            row = self._row(milestone, step, steps, self._probe.score(encoder))
            self._readings.append(row)
        self._reached = row

    def on_checkpoint(self, _milestone: int) -> None:
        """Tell what was read."""
        self._tell(self._reached, may_keep=True)

    def finish(self) -> dict[str, Any]:
        """The last reading, of a training that is done."""
        with locked(self._training):  # several trials may come to it at once
            readings = Readings(self._training / self._name)
            before = tuple(readings.rows)
            if readings.last is None:  # it was done by a run
                readings.append(self._read_what_is_done())
            last = readings.last
        for row in before:
            if row["step"] > self._told:  # it was done before
                self.report(row)
        assert last is not None
        return last

    def _read_what_is_done(self) -> dict[str, Any]:
        settings = self._config.embed
        encoder = AudioEncoder.load(
            self._training / ENCODER_FOLDER, device=settings.device, precision=settings.precision
        )
        trained = read_done(self._training)
        assert trained is not None
        steps = int(trained.marker["steps"])
        return self._row(self._last_milestone, steps, steps, self._probe.score(encoder))

    @property
    def _last_milestone(self) -> int:
        return self.evaluations

    def _row(self, milestone: int, step: int, steps: int, reading: float) -> dict[str, Any]:
        if step == steps:  # a training of few steps has fewer milestones
            milestone = self._last_milestone
        return {"milestone": milestone, "reading": reading, "step": step, "steps": steps}

    def report(self, row: Mapping[str, Any]) -> None:
        """Report a row."""
        self._told, self._last_told = row["step"], row["milestone"]
        self._report({**row, "lineage": self._lineage})

    def _tell(self, row: Mapping[str, Any], *, may_keep: bool, again: bool = False) -> None:
        """Report a row, unless that was done; where others may go on from it, once they find the files."""
        if row["step"] <= self._told:
            return
        milestone, scheduler = row["milestone"], self._task.settings.sweep.scheduler
        decides = decides_at(scheduler, milestone, self._last_milestone)
        if scheduler.name == "pbt" and decides and may_keep:
            keep(self._partial, kept_files(self._task.folder, self._number, milestone))
        # What was decided on before, or passed over since others trained on from there, may be decided on anywhere.
        in_order = not again and milestone == self._last_told + 1
        if decides or not (in_order or scheduler.name == "fifo" or milestone == self._last_milestone):
            raise Meeting(row)
        self.report(row)


def _readings_name(task: TrialTask, config: RunConfig, clips: Mapping[str, Done]) -> str:
    """The file of readings in a training's folder: another one for what would read otherwise."""
    key = fingerprint(
        "readings",
        VALIDATION_VERSION,
        EMBED_VERSION,
        task.settings.sweep.readings,
        config.probe,
        config.probe_corpora,
        config.embed.model_dump(mode="json", exclude={"device", "batch_crops"}),
        {corpus: [done.digest, done.marker["annotations_digest"]] for corpus, done in clips.items()},
    )
    return f"{READINGS_PREFIX}{key}.jsonl"


def neighbour_probe(config: RunConfig, clips: Mapping[str, Done]) -> NeighbourProbe:
    """The probe that a trial is read by in the course of its training.

    Raises:
        UserError: too few sources to set a test part apart and to validate on the rest.
    """
    rate = config.log_mel.sample_rate_hz
    corpora = {*config.probe_corpora, *config.validation_corpora}
    stores = {corpus: ClipStore(clips[corpus].folder, rate) for corpus in sorted(corpora)}
    return NeighbourProbe(
        validation_sets(stores, config.probe, config.probe_corpora), config.probe, config.embed
    )
