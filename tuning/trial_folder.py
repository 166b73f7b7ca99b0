"""What lies in the folder of a trial, below that of its sweep.

<sweep folder>/trials/NUMBER/
    run.yaml          the run that it is
    trainings.txt     folders below the work folder in which it has trained, the one it trains in now last
    error.txt         what crashed it, until it begins again; error-of-attempt-N.txt what crashed an attempt before
    refused.txt       why it must not be tried again
    milestone-NNNN/   of a population: its training as it was then, for whoever goes on from there
"""

import shutil
from contextlib import suppress
from pathlib import Path

from echopair.pipeline.stages import locked, write_atomically

TRIALS_FOLDER = "trials"
CONFIG_FILE = "run.yaml"
ERROR_FILE = "error.txt"
REFUSED_FILE = "refused.txt"
TRAININGS_FILE = "trainings.txt"
MILESTONE_PREFIX = "milestone-"
KEPT_MILESTONES = 2


def trial_folder(sweep_folder: Path, number: int) -> Path:
    """Where a trial writes what is its own."""
    return sweep_folder / TRIALS_FOLDER / f"{number:05d}"


def trainings_of(sweep_folder: Path, number: int) -> list[str]:
    """Folders below the work folder in which a trial has trained, the one it trains in now last."""
    file = trial_folder(sweep_folder, number) / TRAININGS_FILE
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def note_training(sweep_folder: Path, number: int, training: str) -> None:
    """Note that a trial trains in a folder, which is named below the work folder."""
    noted = [one for one in trainings_of(sweep_folder, number) if one != training]
    text = "".join(f"{one}\n" for one in [*noted, training])
    write_atomically(trial_folder(sweep_folder, number) / TRAININGS_FILE, text)


def refuse(sweep_folder: Path, number: int, reason: str) -> None:
    """Note, before a trial's process ends, that the trial must not be tried again."""
    write_atomically(trial_folder(sweep_folder, number) / REFUSED_FILE, reason)


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


def kept_files(sweep_folder: Path, number: int, milestone: int) -> Path:
    """Where a population's trial keeps its training as it was at a milestone."""
    return trial_folder(sweep_folder, number) / f"{MILESTONE_PREFIX}{milestone:04d}"


def keep(partial: Path, kept: Path) -> None:
    """Copy a training's files as they are now, for whoever goes on from there; the last two copies are kept."""
    if not kept.is_dir():
        _copy(partial, kept)
    for older in sorted(kept.parent.glob(f"{MILESTONE_PREFIX}*"))[:-KEPT_MILESTONES]:
        shutil.rmtree(older)


def go_on_from(files: Path, training: Path) -> None:
    """Lay another training's files where this one begins, unless it is already on its way.

    Where they are gone it begins at step 0, and comes to the same: its config says which values hold when.
    """
    partial = training.with_name(training.name + ".partial")
    with locked(training):
        if files.is_dir() and not training.exists() and not partial.exists():
            _copy(files, partial)


def _copy(folder: Path, to: Path) -> None:
    """Copy a folder so that it appears whole or not at all."""
    aside = to.with_name(f".{to.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(folder, aside)
    aside.rename(to)
