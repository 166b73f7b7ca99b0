"""The state of a sweep: its settings and its trials as JSON on disk, from which everything else is derived.

    sweep.yaml            the settings, every default filled in
    trials/00007.json     one file a trial, replaced whole whenever something changes
    trials/00007/         what the trial itself writes: the run that it is, its errors

Nothing in it is executed, and a sweep that is killed leaves either the old state of a trial or the new one. It is in
the work folder, which may be moved as a whole.
"""

import fcntl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError

from echopair.pipeline.config import as_given
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import write_atomically
from echopair.tuning.config import SweepSettings, validated_settings
from echopair.tuning.schedulers import comparable
from echopair.tuning.trial_folder import TRIALS_FOLDER
from echopair.tuning.trials import Status, Trial

SWEEPS_FOLDER = "sweeps"  # in the work folder
SETTINGS_FILE = "sweep.yaml"
LOCK_FILE = ".lock"
FORMAT = "echopair-sweep/2"
REASON_CHARACTERS = 300


class SweepState:
    """Settings and trials of one sweep; safe to be read and written by several threads of its driver.

    Args:
        plan: what was decided once, before the first trial, such as the steps of a budget in minutes.
    """

    def __init__(
        self, folder: Path, settings: SweepSettings, trials: Mapping[int, Trial], plan: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.plan = dict(plan)
        self._trials = dict(trials)
        self._lock = threading.RLock()

    @classmethod
    def create(cls, folder: Path, settings: SweepSettings) -> Self:
        """A new sweep's state, or that of the same sweep if it was begun before.

        Raises:
            UserError: see `open`; or another process begins the same sweep.
        """
        if (folder / SETTINGS_FILE).is_file():
            begun = cls.open(folder)
            # Where it runs may change between starts; what it is may not, and the folder is named by it.
            return cls(folder, _moved(begun.settings, settings), begun._trials, begun.plan)
        (folder / TRIALS_FOLDER).mkdir(parents=True, exist_ok=True)
        state = cls(folder, settings, {}, {})
        with state._locked():
            if not (folder / SETTINGS_FILE).is_file():  # another process may have written them
                state._write_settings()
        return state

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The state of a sweep that was begun.

        Raises:
            UserError: the folder is not a sweep's, or a file of it is damaged or was changed.
        """
        file = folder / SETTINGS_FILE
        if not file.is_file():
            raise UserError(
                f"{folder} is no sweep's folder ({SETTINGS_FILE} is missing); sweeps lie in the work folder, "
                f"below {SWEEPS_FOLDER}/"
            )
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            if not isinstance(content, Mapping) or content.get("format") != FORMAT:
                raise UserError(f"its format is not {FORMAT}")
            settings = validated_settings(content["settings"])
            if settings.key != content["key"]:
                raise UserError(
                    "its settings were changed after the sweep began, or by another version of echopair"
                )
            plan = dict(content["plan"])
        except (UserError, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{file} cannot be used ({_reason(error)}); move {folder} away and start the sweep again"
            ) from error
        sweeps = folder.absolute().parent
        if sweeps.name == SWEEPS_FOLDER:  # where it is now, not where it began
            run = settings.run.model_copy(update={"work_folder": sweeps.parent})
            settings = settings.model_copy(update={"run": run})
        return cls(folder, settings, _read_trials(folder / TRIALS_FOLDER), plan)

    @property
    def trials(self) -> list[Trial]:
        """All trials that were proposed, by number."""
        with self._lock:
            return [self._trials[number] for number in sorted(self._trials)]

    def __getitem__(self, number: int) -> Trial:
        with self._lock:
            return self._trials[number]

    def propose(self, trial: Trial) -> None:
        """Add a trial."""
        with self._lock:
            if trial.number in self._trials:
                raise ValueError(f"trial {trial.number} was proposed before")
            self._write(trial)

    def change(self, number: int, **changes: Any) -> Trial:
        """Replace fields of a trial and write it to disk."""
        with self._lock:
            trial = self._trials[number].model_copy(update=changes)
            if trial != self._trials[number]:
                self._write(trial)
            return trial

    def requeue_running(self) -> None:
        """Let the trials that no process trains any more wait to be continued."""
        for trial in self.trials:
            if trial.status == Status.RUNNING:
                self.change(trial.number, status=Status.WAITING, error="")

    def fix_plan(self, **plan: Any) -> None:
        """Decide something once for this and every later process."""
        with self._lock:
            self.plan |= plan
            self._write_settings()

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest score, the earliest of equal ones; None before one finished."""
        finished = [trial for trial in self.trials if trial.status == Status.FINISHED]
        return max(finished, key=lambda trial: (comparable(trial.score or 0.0), -trial.number), default=None)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the sweep for this process, with the state that earlier processes left.

        Raises:
            UserError: another process works on it; or see `open`.
        """
        with self._locked():
            begun = self.open(self.folder)  # another process may have worked on it since it was read
            with self._lock:
                self.plan, self._trials = begun.plan, begun._trials
                self._write_settings()
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / LOCK_FILE).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process works on the sweep in {self.folder}; wait for it, or end it first"
                ) from None
            yield

    def _write(self, trial: Trial) -> None:
        file = self.folder / TRIALS_FOLDER / f"{trial.number:05d}.json"
        write_atomically(file, trial.model_dump_json(indent=2) + "\n")
        self._trials[trial.number] = trial

    def _write_settings(self) -> None:
        content = {
            "format": FORMAT,
            "key": self.settings.key,
            "plan": self.plan,
            "settings": as_given(self.settings),
        }
        write_atomically(self.folder / SETTINGS_FILE, yaml.safe_dump(content, sort_keys=False))


def _read_trials(folder: Path) -> dict[int, Trial]:
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; restore it, or create it empty to run all trials again")
    trials = {}
    for file in sorted(folder.glob("*.json")):
        try:
            trial = Trial.model_validate_json(file.read_text(encoding="utf-8"))
            if file.stem != f"{trial.number:05d}":
                raise ValueError(f"it is of trial {trial.number}")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{file} is damaged ({_reason(error)}); delete it, and its trial runs again from its last "
                "checkpoint"
            ) from error
        trials[trial.number] = trial
    return trials


def _reason(error: Exception) -> str:
    """What is wrong with a file, in a line."""
    match error:
        case ValidationError():
            problem = error.errors()[0]
            text = f"{'.'.join(map(str, problem['loc']))} {problem['msg']}"
        case KeyError():
            text = f"{error} is missing"
        case _:
            text = str(error)
    return " ".join(text.split())[:REASON_CHARACTERS]


def _moved(begun: SweepSettings, now: SweepSettings) -> SweepSettings:
    """The settings a sweep began with, but for where and how many at once its trials run."""
    where = {name: getattr(now.run, name) for name in ("work_folder", "tracking", "ray", "prepare")}
    sweep = begun.sweep.model_copy(update={"resources": now.sweep.resources, "retries": now.sweep.retries})
    return begun.model_copy(update={"run": begun.run.model_copy(update=where), "sweep": sweep})
