"""The share of each batch that one of several processes makes and encodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from echopair.lazy import np, torch
from echopair.pipeline.training.seeding import Stream, torch_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.augment.policy import Policy


@dataclass(frozen=True)
class Share:
    """Which pairs of a batch a process encodes: one of P equal neighbouring parts.

    Args:
        rank: of the process, from 0 to P - 1.
        processes: P, at least 2.
        log_mel_shape: F and T of a view.
    """

    rank: int
    processes: int
    log_mel_shape: tuple[int, int]

    def pairs(self, pairs: int) -> NDArray[np.int64]:
        """Numbers of the N / P pairs of N that the process encodes."""
        size = pairs // self.processes
        return np.arange(self.rank * size, (self.rank + 1) * size)

    def rows(self, policy: Policy, chosen: NDArray[np.bool_], seed: int, step: int) -> NDArray[np.int64]:
        """The pairs whose crops the process reads: its own, and then those that are mixed into them.

        Args:
            policy: augments log-mels.
            chosen: (V, N, K) bool, of the whole batch.
            seed: of the run.
            step: of the training.

        Returns:
            (V, M) for each view; views that need fewer repeat the first one at their ends.
        """
        own = self.pairs(chosen.shape[1])
        needed = [
            policy.rows_for(
                own,
                self.log_mel_shape,
                of_view,
                torch_generator(seed, step, Stream.AUGMENTATION, torch.device("cpu"), view),
            )
            for view, of_view in enumerate(chosen)
        ]
        longest = max(map(len, needed))
        return np.stack([np.pad(rows, (0, longest - len(rows)), constant_values=own[0]) for rows in needed])
