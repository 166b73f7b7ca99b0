"""States of sweeps whose trials nobody ran."""

from pathlib import Path
from typing import Any

from echopair.tuning.config import SweepSettings, compose_sweep
from echopair.tuning.state import SweepState
from echopair.tuning.trials import IntermediateScore, Status, Trial

MILESTONES = 3


def small_settings(work_folder: Path, *overrides: str) -> SweepSettings:
    """Settings of a sweep that is never run; no recordings are needed."""
    return compose_sweep(
        [
            "synthetic",
            f"work_folder={work_folder}",
            "sweep.space.objective.temperature={name: log_uniform, low: 0.01, high: 1}",
            f"sweep.milestones={MILESTONES}",
            *overrides,
        ]
    )


def made_up(number: int, status: Status, score: float | None = None, **fields: Any) -> Trial:
    """A trial that was begun once, and got as far as its status says."""
    done = {Status.WAITING: 0, Status.RUNNING: 1}.get(status, MILESTONES)
    readings = tuple(
        IntermediateScore(milestone=milestone, step=10 * milestone, score=milestone / 10, seconds=milestone)
        for milestone in range(1, done + 1)
    )
    values = {"objective.temperature": 0.1 + number / 100}
    given = {
        "values": values,
        "intermediate_scores": readings,
        "steps": 10 * MILESTONES,
        "attempts": 1,
        **fields,
    }
    return Trial(number=number, status=status, score=score, **given)


def make_state(folder: Path, settings: SweepSettings, *trials: Trial) -> SweepState:
    """The state of a sweep with some trials."""
    state = SweepState.create(folder, settings)
    for trial in trials:
        state.propose(trial)
    return state
