"""Figures on their way to the tracking store: sent once, in order, and kept while the store is away."""

import math
import numbers
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Limits of MLflow.
METRICS_A_REQUEST = 1000
NAME_CHARACTERS = 250
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 600.0

# Name, value, time in milliseconds, step: the order of MLflow's Metric.
Point = tuple[str, float, int, int]


def name_of(text: str) -> str:
    """A name that MLflow accepts: letters, digits, `_ - . space :`, and `/` between parts."""
    parts = re.sub(r"[^\w.\- :/]", "_", text).split("/")
    return "/".join(part for part in parts if part.strip("."))[:NAME_CHARACTERS] or "_"


def metric_value(value: float) -> float:
    """A number as MLflow can draw it: infinity, which it would store as 1.8e308, becomes NaN."""
    number = float(value)
    return number if math.isfinite(number) else math.nan


class PendingSeries:
    """Points not sent yet, and for each name the last step known to be stored."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._taken: dict[str, int] = {}
        self._next_try = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        # None: not known, because the run was opened again or a request failed half-way. Ask the store.
        self.stored_steps: dict[str, int] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._points

    def add(self, rows: Iterable[Mapping[str, Any]], step_key: str) -> None:
        """Queue every number of the rows whose step is later than the last one queued under its name."""
        milliseconds = int(time.time() * 1000)
        for row in rows:
            step = int(row[step_key])
            for key, value in row.items():
                # Asked first, since whoever resends gives thousands of rows that are known.
                if key == step_key or step <= self._taken.get(key, -1):
                    continue
                if isinstance(value, numbers.Real):  # numpy's numbers too
                    self._taken[key] = step
                    self._points.append((name_of(key), metric_value(float(value)), milliseconds, step))

    def batches(self) -> Iterator[list[Point]]:
        """What the store lacks, a request at a time; asking for the next says that the last was stored."""
        stored = self.stored_steps
        if stored is None:
            raise RuntimeError("stored_steps must be asked of the store before anything is sent")
        while self._points:
            batch = self._points[:METRICS_A_REQUEST]
            lacking = [point for point in batch if point[3] > stored.get(point[0], -1)]
            if lacking:
                yield lacking
            stored.update((name, step) for name, _, _, step in lacking)
            del self._points[:METRICS_A_REQUEST]
        self._pause, self._next_try = FIRST_PAUSE_SECONDS, 0.0

    def may_try(self) -> bool:
        """Whether enough time has passed since the last failure."""
        return time.monotonic() >= self._next_try

    def failed(self) -> bool:
        """Note a failure and pause, longer each time.

        Returns:
            Whether it is the first since the store last answered.
        """
        first = self._next_try == 0.0
        self._next_try = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return first
