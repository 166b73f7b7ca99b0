"""Several processes that train one encoder: each encodes its share of a batch, and then all see the whole of it.

The processes are those of torch.distributed's default group; without one there is a single process, and nothing here
does anything. What follows the encoder, heads and loss, each process computes of the whole batch, but for losses of
anchors, of which each has its share. The mean of the gradients of all processes, as data-parallel training takes it,
then is the gradient of one process with the whole batch.
"""

from __future__ import annotations

from typing import TypeVar

from echopair.lazy import torch

Value = TypeVar("Value")


def process_count() -> int:
    """P, how many processes train together; 1 without a group."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Number of this process among them, from 0."""
    return torch.distributed.get_rank() if process_count() > 1 else 0


def own_slice(size: int) -> slice:
    """Which of so many neighbouring rows are this process's: one of P parts that differ by one row at most."""
    count, rank = process_count(), process_rank()
    return slice(size * rank // count, size * (rank + 1) // count)


def gather(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The values of all processes, one after the other along an axis.

    Backward adds up what all processes give as the gradient of this one's values, so it is the gradient of the sum of
    their losses.

    Args:
        values: of the same shape in each process.
        dim: the axis along which they are shares of a whole.
    """
    if process_count() == 1:
        return values
    from echopair.models.collectives import Gather  # loads torch, which configs do without

    whole: torch.Tensor = Gather.apply(values.movedim(dim, 0))  # type: ignore[no-untyped-call]
    return whole.movedim(0, dim)


def add_up(total: torch.Tensor) -> torch.Tensor:
    """The sum over processes, in each of them; backward as `gather`."""
    if process_count() == 1:
        return total
    from torch.distributed.nn.functional import all_reduce

    summed: torch.Tensor = all_reduce(total)  # type: ignore[no-untyped-call]
    return summed


def from_first(value: Value) -> Value:
    """The value that the first process gives, in all; what it depends on a clock or a file for, all then do alike."""
    if process_count() == 1:
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values)
    return values[0]
