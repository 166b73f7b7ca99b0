"""Sweeps that take seconds, and ledgers of trials that nobody ran."""

from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.test_run import write_config
from tuning.config import SweepSettings, compose_sweep
from tuning.ledger import Ledger
from tuning.trials import Reading, Status, Trial

READINGS = 3


def write_sweep(folder: Path, **sweep: Any) -> Path:
    """A corpus of tones, and the file of a sweep over it whose trials take seconds.

    Args:
        folder: for both; the work folder lies in it too.
        sweep: keys of the file's section `sweep`, in place of those here.
    """
    file = write_config(folder)
    space = {"objective.temperature": {"name": "log_uniform", "low": 0.1, "high": 0.5}}
    section = {
        "sweep_name": "tones",
        "space": space,
        "search": {"name": "random", "trials": 4},
        "readings": READINGS,
        **sweep,
    }
    with file.open("a") as opened:
        yaml.safe_dump({"sweep": section}, opened)
    return file


def small_settings(work_folder: Path, *overrides: str) -> SweepSettings:
    """Settings of a sweep that is never run; no recordings are needed."""
    return compose_sweep(
        [
            "synthetic",
            f"work_folder={work_folder}",
            "sweep.space.objective.temperature={name: log_uniform, low: 0.01, high: 1}",
            f"sweep.readings={READINGS}",
            *overrides,
        ]
    )


def made_up(number: int, status: Status, score: float | None = None, **fields: Any) -> Trial:
    """A trial that was begun once, and got as far as its status says."""
    done = 0 if status == Status.WAITING else 1 if status == Status.RUNNING else READINGS
    readings = tuple(
        Reading(milestone=milestone, step=10 * milestone, score=milestone / 10, seconds=milestone)
        for milestone in range(1, done + 1)
    )
    values = {"objective.temperature": 0.1 + number / 100}
    given = {"values": values, "readings": readings, "steps": 10 * READINGS, "attempts": 1, **fields}
    return Trial(number=number, status=status, score=score, **given)


def make_ledger(folder: Path, settings: SweepSettings, *trials: Trial) -> Ledger:
    """The ledger of a sweep with some trials."""
    ledger = Ledger.create(folder, settings)
    for trial in trials:
        ledger.propose(trial)
    return ledger
