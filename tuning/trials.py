"""A trial: its values, its intermediate scores, how it ended."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field


class Status(StrEnum):
    """What became of a trial."""

    WAITING = "waiting"  # proposed, and not begun or to be continued
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  # early, by the scheduler
    DIVERGED = "diverged"  # its loss was not finite: the worst score, and no second try
    FAILED = "failed"  # an error, or more crashes than `sweep.retries`

    @property
    def ended(self) -> bool:
        """Whether the trial is over."""
        return self not in (Status.WAITING, Status.RUNNING)


class IntermediateScore(BaseModel, frozen=True, extra="forbid", ser_json_inf_nan="constants"):
    """The score of the nearest-neighbour probe at a milestone of a training.

    Args:
        milestone: 1, 2, ... up to `sweep.milestones`.
        step: optimiser steps done.
        score: 0 to 1, of validation clips.
        seconds: wall time that the trial had worked by then, earlier attempts included.
    """

    milestone: int = Field(ge=1)
    step: int = Field(ge=0)
    score: float
    seconds: float = Field(ge=0)


class Trial(BaseModel, frozen=True, extra="forbid", ser_json_inf_nan="constants"):
    """One trial of a sweep.

    Args:
        number: 0, 1, ... in the order of proposal.
        values: of the swept dotted keys, such as {"objective.temperature": 0.1}.
        score: validation score from 0 to 1 of a trial that finished; 0 of a diverged one; None before.
        steps: optimiser steps of the whole training; 0 before they are known.
        intermediate_scores: of the nearest-neighbour probe, by rising milestone.
        seconds: wall time spent on it, all attempts together.
        error: why it failed, diverged or was just begun again; empty otherwise.
        lineage: of a population's trial, the values that its encoder was trained with and from which step on, the
            first from step 0; empty otherwise.
    """

    number: int = Field(ge=0)
    values: dict[str, Any]
    status: Status = Status.WAITING
    score: float | None = None
    steps: int = 0
    intermediate_scores: tuple[IntermediateScore, ...] = ()
    seconds: float = 0.0
    attempts: int = 0
    error: str = ""
    lineage: tuple[Mapping[str, Any], ...] = ()

    @property
    def step(self) -> int:
        """Optimiser steps done at its last milestone; 0 before the first."""
        return self.intermediate_scores[-1].step if self.intermediate_scores else 0

    @property
    def current(self) -> dict[str, Any]:
        """The values it has now: in a population they change."""
        values = dict(self.values)
        for change in self.lineage:
            values |= change["values"]
        return values

    @property
    def latest(self) -> float | None:
        """The score if there is one, else the last intermediate one; what a table shows."""
        if self.score is not None:
            return self.score
        return self.intermediate_scores[-1].score if self.intermediate_scores else None
