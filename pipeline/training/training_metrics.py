"""How a training goes: its speed, and whether its representation has collapsed."""

import time

from echopair.pipeline.progress import console


def say_collapse(rows: list[dict[str, float]]) -> None:
    """Say it aloud if the last row is the first that shows a collapse."""
    if is_collapsed(rows[-1]) and not any(is_collapsed(row) for row in rows[:-1]):
        row = rows[-1]
        console.print(
            f"[bold red]pretrain: the representation has collapsed[/] at step {row['step']:.0f} "
            f"(effective rank {row['effective_rank']:.1f}, uniformity {row['uniformity']:.2f}): all clips look "
            "alike to the encoder. Lower pretrain.learning_rate or objective.temperature, or weaken "
            "augment.strength."
        )


def is_collapsed(row: dict[str, float]) -> bool:
    """Whether a row of metrics shows all projections in one place, or embeddings along one line."""
    return row["uniformity"] > -0.05 or row["effective_rank"] < 1.5


class Meter:
    """Pairs a second and the share of time spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._since = self._mark = time.monotonic()
        self._waited = 0.0
        self._pairs = 0

    def data_arrived(self) -> None:
        """A batch is there; the time since the last step was spent waiting for it."""
        self._waited += time.monotonic() - self._mark

    def step_done(self, pairs: int) -> None:
        """A step on so many pairs is over."""
        self._pairs += pairs
        self._mark = time.monotonic()

    def read(self) -> dict[str, float]:
        """`pairs_per_second` and `data_wait_share` (0 to 1); the next reading begins here."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        figures = {"pairs_per_second": self._pairs / seconds, "data_wait_share": self._waited / seconds}
        self._start()
        return figures
