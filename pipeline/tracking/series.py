"""Queue of metrics for the tracking store: each is sent once, in order, and kept while the store does not answer."""

import math
import numbers
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Limits of MLflow.
METRICS_PER_REQUEST = 1000
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
    """A number that MLflow can plot: infinity, which MLflow would store as 1.8e308, becomes NaN."""
    number = float(value)
    return number if math.isfinite(number) else math.nan


class PendingSeries:
    """Points that are not sent yet, and the last stored step of each metric."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._taken: dict[str, int] = {}
        self._next_try = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        # None: unknown, because the run was opened again or a request failed; read it from the store.
        self.stored_steps: dict[str, int] | None = None

    @property
    def empty(self) -> bool:
        """Whether all points are sent."""
        return not self._points

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Queue every number of the rows whose step is later than the last one queued under its name."""
        milliseconds = int(time.time() * 1000)
        for row in rows:
            step = int(row["step"])
            for key, value in row.items():
                # Checked first: a run that continues adds thousands of rows again.
                if key == "step" or step <= self._taken.get(key, -1):
                    continue
                if isinstance(value, numbers.Real):  # includes numpy's numbers
                    self._taken[key] = step
                    self._points.append((name_of(key), metric_value(float(value)), milliseconds, step))

    def batches(self) -> Iterator[list[Point]]:
        """Points that the store lacks, one request each; taking the next batch confirms the previous one."""
        stored = self.stored_steps
        if stored is None:
            raise RuntimeError("stored_steps is None: read it from the store before sending")
        while self._points:
            batch = self._points[:METRICS_PER_REQUEST]
            lacking = [point for point in batch if point[3] > stored.get(point[0], -1)]
            if lacking:
                yield lacking
            stored.update((name, step) for name, _, _, step in lacking)
            del self._points[:METRICS_PER_REQUEST]
        self._pause, self._next_try = FIRST_PAUSE_SECONDS, 0.0

    def may_try(self) -> bool:
        """Whether enough time has passed since the last failure."""
        return time.monotonic() >= self._next_try

    def failed(self) -> bool:
        """Record a failure, and double the pause until the next attempt.

        Returns:
            Whether it is the first since the store last answered.
        """
        first = self._next_try == 0.0
        self._next_try = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return first
