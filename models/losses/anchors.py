"""Losses of anchors that are compared with all projections of a batch.

A row is one projection: the N clips of the first view, then those of the second one, and so on. An anchor is a row
that is compared with all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from echopair.lazy import torch
from echopair.models.losses.blocks import inner_products, sum_over_blocks
from echopair.models.losses.normalise import l2_normalise
from echopair.models.processes import add_up, own_slice, process_count

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST = -1e30  # in place of log(0), for an empty sum; -inf would make gradients NaN


@dataclass(frozen=True)
class Anchors:
    """Some rows of a batch, compared with all its rows.

    Args:
        rows: (A,) int64, which rows they are.
        similarities: (A, V N), as of `compare`.
        temperature: above 0.
        views: V.
        pairs: N.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other. None if all
            other clips are negatives.
    """

    rows: torch.Tensor
    similarities: torch.Tensor
    temperature: float | torch.Tensor
    views: int
    pairs: int
    recordings: torch.Tensor | None

    @property
    def clips(self) -> torch.Tensor:
        """The clip of each anchor, (A,) int64 from 0 to N - 1."""
        return self.rows % self.pairs

    @property
    def logits(self) -> torch.Tensor:
        """Similarities divided by the temperature, (A, V N)."""
        return self.similarities / self.temperature

    def positives(self) -> torch.Tensor:
        """The rows of the other views of each anchor's clip, (A, V - 1)."""
        size = self.views * self.pairs
        return torch.stack([(self.rows - view * self.pairs) % size for view in range(1, self.views)], dim=1)

    def excluded(self) -> torch.Tensor | None:
        """Which clips are no negatives of an anchor though they are others, (A, N) bool; None if all are."""
        if self.recordings is None:
            return None
        same = self.recordings[self.clips].unsqueeze(1) == self.recordings
        return same.scatter_(1, self.clips.unsqueeze(1), False)

    def negatives(self) -> torch.Tensor:
        """Which rows are negatives of each anchor, (A, V N) bool: those of other clips."""
        excluded = self.excluded()
        if excluded is None:
            excluded = torch.zeros(len(self.rows), self.pairs, dtype=torch.bool, device=self.rows.device)
        return ~excluded.scatter_(1, self.clips.unsqueeze(1), True).repeat(1, self.views)


def mean_over_anchors(
    losses: Callable[[Anchors], tuple[torch.Tensor, torch.Tensor | int]],
    projections: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    recordings: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """Mean of the losses of the anchors of a batch; 0 if there are none. See `sum_over_anchors`.

    Of several processes, each computes the losses of its share of the anchors.
    """
    total, count = sum_over_anchors(losses, projections, temperature, recordings, shared=True, **options)
    if process_count() > 1:
        total, count = add_up(total), add_up(torch.as_tensor(count, device=total.device))
    return total / max(1, int(count))


def sum_over_anchors(
    losses: Callable[[Anchors], tuple[torch.Tensor, torch.Tensor | int]],
    projections: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    recordings: torch.Tensor | None = None,
    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = inner_products,
    views: int | None = None,
    shared: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | int]:
    """Sum of the losses of the anchors of a batch, and how many values it has.

    Args:
        losses: of some anchors: their sum, and how many values are added up in it.
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm; they are scaled to norm 1.
        temperature: above 0; a scalar tensor has a gradient.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.
        compare: anchors (A, P) with rows (V N, P), as (A, V N).
        views: how many of the views are anchors; by default all.
        shared: of several processes, each takes its own share of the anchors.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; and the number.
    """
    all_views, pairs, _ = projections.shape
    number = (views or all_views) * pairs
    own = own_slice(number) if shared else slice(0, number)

    def of_block(
        rows: torch.Tensor, similarities: torch.Tensor, temperature: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | int]:
        return losses(Anchors(rows + own.start, similarities, temperature, all_views, pairs, recordings))

    with torch.autocast(projections.device.type, enabled=False):
        z = l2_normalise(projections.flatten(0, 1))  # (V N, P)
        anchors = z if own == slice(0, len(z)) else z[own]
        return sum_over_blocks(of_block, anchors, z, temperature, compare)


def log_sum_exp(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum of exponentials of the chosen values of each row; about -1e30 where none is.

    Args:
        values: (A, R).
        chosen: (A, R) bool.
    """
    return values.masked_fill(~chosen, LOWEST).logsumexp(1)


def sum_of(values: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the chosen values, and how many they are.

    Args:
        values: of any shape.
        chosen: bool, of a shape that broadcasts to it.
    """
    chosen = chosen.expand_as(values)
    return torch.where(chosen, values, 0).sum(), chosen.sum()
