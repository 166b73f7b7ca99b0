"""Times that are measured side by side: the calls that are compared take turns in one process."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def peak_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def clock(device: str = "cpu") -> float:
    """Seconds: CPU time of this process and of its children that ended; on a GPU, wall time after all work is done."""
    if device != "cpu":
        torch.cuda.synchronize()
        return time.perf_counter()
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def in_turns(calls: Sequence[Callable[[], object]], rounds: int, device: str = "cpu") -> list[float]:
    """Median milliseconds of each call over some rounds, after one that is not counted."""
    for call in calls:
        call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, found in zip(calls, seconds, strict=True):
            before = clock(device)
            call()
            found.append(clock(device) - before)
    return [1000 * statistics.median(found) for found in seconds]


def cpu_and_wall_ms(calls: Sequence[Callable[[], object]], rounds: int) -> list[tuple[float, float]]:
    """Median milliseconds of CPU time and of wall time of each call over some rounds."""
    found: list[list[tuple[float, float]]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, found, strict=True):
            cpu, wall = clock(), time.perf_counter()
            call()
            times.append((1000 * (clock() - cpu), 1000 * (time.perf_counter() - wall)))
    medians = [[statistics.median(column) for column in zip(*times, strict=True)] for times in found]
    return [(cpu, wall) for cpu, wall in medians]
