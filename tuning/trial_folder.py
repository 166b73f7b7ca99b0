"""The private folder of a trial: the work folder of its run, and notes for the driver and for later attempts."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from echopair.pipeline.stages import MARKER_FILE, locked, read_done, write_atomically
from echopair.pipeline.training.checkpoints import CHECKPOINTS_FOLDER, read_metrics

TRIALS_FOLDER = "trials"
CONFIG_FILE = "run.yaml"
SCORES_FILE = "scores.json"
ERROR_FILE = "error.txt"
REFUSED_FILE = "refused.txt"
COPY_PREFIX = "milestone-"
COPIES = 2  # a member may be one exploitation behind the members that copy it


@dataclass(frozen=True)
class TrialFolder:
    """`<sweep folder>/trials/NNNNN/`, which no other trial writes to.

    run.yaml           the run that the trial is
    encoders/, ...     stage outputs, as in a work folder
    scores.json        intermediate scores of the training
    error.txt          traceback of the current attempt's crash; error-of-attempt-N.txt of an earlier one
    refused.txt        why the trial must not be tried again
    milestone-NNNN/    of a population: the training as it was then, for members that copy it
    """

    sweep_folder: Path
    number: int

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.sweep_folder / TRIALS_FOLDER / f"{self.number:05d}"

    @property
    def trainings(self) -> list[Path]:
        """Folders of encoders, those under way included: one, but for the moment in which a member copies another."""
        return [one for one in self.path.glob("encoders/*") if one.is_dir()]

    def metrics(self) -> list[dict[str, float]]:
        """Rows of figures of the training."""
        return next((rows for one in self.trainings if (rows := read_metrics(one))), [])

    def refuse(self, reason: str) -> None:
        """Note, before the trial's process ends, that the trial must not be tried again."""
        write_atomically(self.path / REFUSED_FILE, reason)

    @property
    def refusal(self) -> str:
        """Why the trial must not be tried again; empty if it may be."""
        file = self.path / REFUSED_FILE
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def allow_again(self) -> None:
        """Let a refused trial be tried again."""
        (self.path / REFUSED_FILE).unlink(missing_ok=True)

    @property
    def crash_reason(self) -> str:
        """Why the last attempt crashed, in a line."""
        return _reason_in(self.path / ERROR_FILE)

    def archive_error(self, attempt: int) -> str:
        """Keep the traceback of an attempt under another name, since the next one removes it; returns the reason."""
        aside = self.path / f"error-of-attempt-{attempt}.txt"
        with suppress(FileNotFoundError):
            (self.path / ERROR_FILE).replace(aside)
        return _reason_in(aside)

    def begin_training(self, training: Path, donor: Path | None) -> None:
        """Remove the files of other trainings, and start a new one from the donor's.

        Without the donor's files the training starts at step 0 and gives the same result: its config says from which
        step on which values hold.
        """
        partial = partial_folder(training)
        for other in self.trainings:
            if other not in (training, partial):
                shutil.rmtree(other)
        if not training.exists() and not partial.exists():
            (self.path / SCORES_FILE).unlink(missing_ok=True)
            if donor is not None and donor.is_dir():
                copy_folder(donor, partial)

    def copy_at(self, milestone: int) -> Path:
        """Where a population's trial keeps its training as it was at a milestone."""
        return self.path / f"{COPY_PREFIX}{milestone:04d}"

    def keep_training(self, training: Path, milestone: int) -> None:
        """Copy the training under way for members that continue from it; the last copies are kept."""
        if not self.copy_at(milestone).is_dir():
            copy_folder(partial_folder(training), self.copy_at(milestone))
        for older in sorted(self.path.glob(f"{COPY_PREFIX}*"))[:-COPIES]:
            shutil.rmtree(older)

    def remove_checkpoints(self) -> None:
        """Remove what only a training under way needs: checkpoints of hundreds of trials fill a disk."""
        for folder in self.path.glob(f"encoders/*/{CHECKPOINTS_FOLDER}"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_copies(self) -> None:
        """Remove what other members of a population might continue from."""
        for folder in self.path.glob(f"{COPY_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, work_folder: Path) -> None:
        """Copy finished stage outputs to another work folder, where a run of the same config finds them."""
        for marker in self.path.glob(f"*/*/{MARKER_FILE}"):
            target = work_folder / marker.parent.relative_to(self.path)
            with locked(target):
                if read_done(target) is None:
                    copy_folder(marker.parent, target)


def partial_folder(training: Path) -> Path:
    """The folder of an encoder until its training is finished."""
    return training.with_name(training.name + ".partial")


def copy_folder(folder: Path, to: Path) -> None:
    """Copy a folder so that it appears whole or not at all."""
    aside = to.with_name(f".{to.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(folder, aside)
    aside.rename(to)


def _reason_in(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").strip().splitlines() if file.is_file() else []
    return f"{lines[-1]} ({file} has the rest)" if lines else "its process was killed"
