"""Times that are measured side by side: the calls that are compared take turns in one process."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch


@dataclass(frozen=True)
class Figure:
    """One row of the suite: a time or a memory of ours beside that of a reference.

    Args:
        what: is measured, with its size.
        reference: what it is compared with.
        unit: of both values, "ms" or "MB".
        ours: the median over the rounds.
        theirs: the same of the reference.
    """

    what: str
    reference: str
    unit: str
    ours: float
    theirs: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What two measurements must have in common to be compared."""
        return self.what, self.reference, self.unit

    @property
    def ratio(self) -> float:
        """Reference over ours: 2 is half the time, or half the memory."""
        return self.theirs / self.ours


class Times(NamedTuple):
    """Milliseconds of a call: CPU time, with that of the processes that it starts and ends, and wall time."""

    cpu: float
    wall: float

    def on(self, device: str) -> float:
        """What counts there: on a GPU the wall time, since the CPU waits."""
        return self.cpu if device == "cpu" else self.wall


def in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[Times]:
    """Medians of each call over some rounds, after one that is not counted."""
    found: list[list[Times]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, times in zip(calls, found, strict=True):
            before = _now()
            call()
            times.append(Times(*(1000 * (b - a) for a, b in zip(before, _now(), strict=True))))
    return [Times(*map(statistics.median, zip(*times[1:], strict=True))) for times in found]


def _now() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages), time.perf_counter()
