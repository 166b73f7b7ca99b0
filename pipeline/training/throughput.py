"""What a training costs: pairs per second, time spent waiting for data, memory."""

import resource
import sys
import time

import torch


class Throughput:
    """Measures from when it is made, and from each call of `metrics` on."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._since = self._step_end = time.monotonic()
        self._waited = 0.0
        self._pairs = 0

    def data_arrived(self) -> None:
        """A batch is there; the time since the last step was spent waiting for it."""
        self._waited += time.monotonic() - self._step_end

    def step_done(self, pairs: int) -> None:
        """A step on so many pairs is done."""
        self._pairs += pairs
        self._step_end = time.monotonic()

    def metrics(self) -> dict[str, float]:
        """`pairs_per_second` and `data_wait_share` (0 to 1); the next measurement starts here."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        metrics = {"pairs_per_second": self._pairs / seconds, "data_wait_share": self._waited / seconds}
        self._start()
        return metrics


def peak_memory_mb(device: torch.device) -> float:
    """Most memory so far in megabytes: of the GPU that this process allocated, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
