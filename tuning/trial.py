"""One trial: swept values -> RunConfig -> stages up to `validate` -> score. Knows no Ray: it reports to a callable.

It reads no label of a test clip: `probe.held_out` sets them apart, and the best trial alone is tested, by `sweep`.
"""

import json
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from models.audio_encoder import AudioEncoder
from pipeline.checkpoints import steps_done
from pipeline.checks import Stage
from pipeline.config import RunConfig, validated
from pipeline.cores import cpu_threads
from pipeline.embed import EMBED_VERSION
from pipeline.errors import UserError
from pipeline.pretrain import ENCODER_FOLDER, Diverged, Milestones
from pipeline.run import RunResult, Watch, learn, training_folder
from pipeline.stages import Done, fingerprint, locked, read_done, write_atomically
from pipeline.store import ClipStore
from pipeline.validation import VALIDATION_VERSION, NeighbourProbe, validation_sets
from tuning.config import SweepSettings
from tuning.trials import Status

TRIALS_FOLDER = "trials"
CONFIG_FILE = "run.yaml"
ERROR_FILE = "error.txt"
REFUSED_FILE = "refused.txt"
TRAININGS_FILE = "trainings.txt"
READINGS_PREFIX = "readings-"
MILESTONE_PREFIX = "milestone-"
KEPT_MILESTONES = 2
WORST_SCORE = 0.0

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrialTask:
    """What every trial of a sweep is given.

    Args:
        settings: of the sweep.
        clips: folders of the prepared clips, by sample rate and corpus.
        folder: of the sweep.
        steps: what a budget in minutes was found to be; None for budgets that are exact.
        threads: of each trial.
    """

    settings: SweepSettings
    clips: Mapping[int, Mapping[str, Path]]
    folder: Path
    steps: int | None
    threads: int


def trial_config(
    task: TrialTask, number: int, values: Mapping[str, Any], schedule: Sequence[Any] = ()
) -> RunConfig:
    """The run that a trial is; `echopair run` of it gives the trial's score again.

    Args:
        task: the sweep's.
        number: of the trial.
        values: of the swept keys.
        schedule: values that changed in the course of the training.

    Raises:
        UserError: values that do not go together.
    """
    settings = task.settings
    laid = settings.values_of(values)
    laid["run_name"] = f"{settings.sweep.sweep_name}-{number}"
    laid["threads"] = task.threads
    laid["probe"] = {**laid["probe"], "held_out": True}
    if laid["pretrain"]["minutes"] is not None:
        laid["pretrain"] = {**laid["pretrain"], "minutes": None, "steps": task.steps}
    if schedule:
        laid["pretrain"] = {**laid["pretrain"], "schedule": list(schedule)}
    return validated(laid)


def clips_of(task: TrialTask, config: RunConfig) -> dict[str, Done]:
    """The prepared clips that a trial reads.

    Raises:
        UserError: they are no longer there.
    """
    clips = {}
    for corpus, folder in task.clips[config.log_mel.sample_rate_hz].items():
        done = read_done(folder)
        if done is None:
            raise UserError(f"{folder} no longer holds the clips of corpus {corpus!r}; start the sweep again")
        clips[corpus] = done
    return clips


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


def refuse(task: TrialTask, number: int, reason: str) -> None:
    """Note, before a trial's process ends, that the trial must not be tried again."""
    write_atomically(trial_folder(task.folder, number) / REFUSED_FILE, reason)


def refusal(sweep_folder: Path, number: int) -> str:
    """Why a trial must not be tried again; empty if it may be."""
    file = trial_folder(sweep_folder, number) / REFUSED_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def allow_again(sweep_folder: Path, number: int) -> None:
    """Let a trial that was refused be tried again."""
    (trial_folder(sweep_folder, number) / REFUSED_FILE).unlink(missing_ok=True)


def crash_reason(sweep_folder: Path, number: int) -> str:
    """Why the last attempt of a trial crashed, in a line."""
    return _reason_in(trial_folder(sweep_folder, number) / ERROR_FILE)


def set_error_aside(sweep_folder: Path, number: int, attempt: int) -> str:
    """Keep what an attempt of a trial crashed with, for the next one begins without; returns `crash_reason`."""
    folder = trial_folder(sweep_folder, number)
    aside = folder / f"error-of-attempt-{attempt}.txt"
    with suppress(FileNotFoundError):
        (folder / ERROR_FILE).replace(aside)
    return _reason_in(aside)


def _reason_in(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").strip().splitlines() if file.is_file() else []
    return f"{lines[-1]} ({file} has the rest)" if lines else "its process was killed"


def trainings_of(sweep_folder: Path, number: int) -> list[str]:
    """Folders below the work folder in which a trial has trained, the one it trains in now last."""
    file = trial_folder(sweep_folder, number) / TRAININGS_FILE
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def trial_folder(sweep_folder: Path, number: int) -> Path:
    """Where a trial writes what is its own."""
    return sweep_folder / TRIALS_FOLDER / f"{number:05d}"


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
    training, _ = training_folder(config, result.clips)
    _note(task, number, training.relative_to(config.work_folder.absolute()).as_posix())
    if inherited is not None:
        _go_on_from(inherited.files, training)
    after = 0 if inherited is None else inherited.step
    course = _Course(task, number, config, result.clips, training, lineage, after, report)
    milestones = Milestones(task.settings.sweep.readings, course.reached, course.saved)
    watch = Watch(begins=course.begins, milestones=milestones)
    with cpu_threads(config.threads):
        while True:
            try:
                learn(config, Stage.VALIDATE, result, watch)
                break
            except _Meeting as meeting:
                course.report(meeting.row)
        last = course.finish()
    score = result.score if task.settings.sweep.score == "linear_probe" else last["reading"]
    report({**last, "lineage": lineage, "status": Status.FINISHED.value, "score": score, "error": ""})


def _note(task: TrialTask, number: int, training: str) -> None:
    noted = [one for one in trainings_of(task.folder, number) if one != training]
    text = "".join(f"{one}\n" for one in [*noted, training])
    write_atomically(trial_folder(task.folder, number) / TRAININGS_FILE, text)


class _Meeting(Exception):  # noqa: N818  (what happened)
    """The members of a population wait for each other here. It leaves the training, which may be another one's too.

    Ray keeps a function that it pauses for ever where it reports: it must not hold what others wait for.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row)
        self.row = row


class _Course:
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
        self._task = task
        self._number = number
        self._config = config
        self._probe = neighbour_probe(config, clips)
        self._name = _readings_name(task, config, clips)
        self._training = training
        self._partial = training.with_name(training.name + ".partial")
        self._lineage = lineage
        self._told = after  # the step up to which all is told, or was another trial's
        self._report = report
        self._readings: Readings | None = None  # None until the training begins
        self._reached: dict[str, Any] = {}  # the row of the last milestone

    def begins(self) -> None:
        """Nobody else works on the training now: tell what was read before."""
        self._readings = Readings(self._partial / self._name)
        done = steps_done(self._partial)
        for row in self._readings.rows:
            if row["step"] <= done:  # of a later one the checkpoint is missing, and it comes again
                self._tell(row, may_keep=row["step"] == done)

    def reached(self, milestone: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        """Read the encoder, unless that was done by an attempt of which the checkpoint is gone."""
        assert self._readings is not None
        row = self._readings.find(step)
        if row is None:
            row = self._row(milestone, step, steps, self._probe.read(encoder))
            self._readings.append(row)
        self._reached = row

    def saved(self, _milestone: int) -> None:
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
        return self._row(self._last_milestone, steps, steps, self._probe.read(encoder))

    @property
    def _last_milestone(self) -> int:
        return self._task.settings.sweep.readings

    def _row(self, milestone: int, step: int, steps: int, reading: float) -> dict[str, Any]:
        if step == steps:  # a training of few steps has fewer milestones
            milestone = self._last_milestone
        return {"milestone": milestone, "reading": reading, "step": step, "steps": steps}

    def report(self, row: Mapping[str, Any]) -> None:
        """Report a row."""
        self._told = row["step"]
        self._report({**row, "lineage": self._lineage})

    def _tell(self, row: Mapping[str, Any], *, may_keep: bool) -> None:
        """Report a row, unless that was done; where others may go on from it, once they find the files."""
        if row["step"] <= self._told:
            return
        milestone, scheduler = row["milestone"], self._task.settings.sweep.scheduler
        if (
            scheduler.name == "pbt"
            and milestone % scheduler.interval == 0
            and milestone < self._last_milestone
        ):
            if may_keep:
                _keep(self._partial, kept_files(self._task.folder, self._number, milestone))
            raise _Meeting(row)
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


def lineage_of(values: Mapping[str, Any], inherited: Inherited | None) -> list[dict[str, Any]]:
    """Values from which step on: those inherited, then the trial's own where they differ."""
    if inherited is None:
        return [{"step": 0, "values": dict(values)}]
    current: dict[str, Any] = {}
    for change in inherited.lineage:
        current |= change["values"]
    changed = {key: value for key, value in values.items() if current.get(key) != value}
    return inherited.lineage + ([{"step": inherited.step, "values": changed}] if changed else [])


def _go_on_from(files: Path, training: Path) -> None:
    """Lay another training's files where this one begins, unless it is already on its way.

    Where they are gone it begins at step 0, and comes to the same: its config says which values hold when.
    """
    partial = training.with_name(training.name + ".partial")
    with locked(training):
        if files.is_dir() and not training.exists() and not partial.exists():
            _copy(files, partial)


def kept_files(sweep_folder: Path, number: int, milestone: int) -> Path:
    """Where a population's trial keeps its training as it was at a milestone."""
    return trial_folder(sweep_folder, number) / f"{MILESTONE_PREFIX}{milestone:04d}"


def _keep(partial: Path, kept: Path) -> None:
    """Copy a training's files as they are now, for whoever goes on from there; the last two copies are kept."""
    if not kept.is_dir():
        _copy(partial, kept)
    for older in sorted(kept.parent.glob(f"{MILESTONE_PREFIX}*"))[:-KEPT_MILESTONES]:
        shutil.rmtree(older)


def _copy(folder: Path, to: Path) -> None:
    """Copy a folder so that it appears whole or not at all."""
    aside = to.with_name(f".{to.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(folder, aside)
    aside.rename(to)
