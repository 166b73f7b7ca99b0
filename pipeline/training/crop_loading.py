"""The crops of steps ahead of the training, by worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from echopair.lazy import torch
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from echopair.pipeline.training.crops import CropBatch, PairCrops


def crop_batches(
    crops: PairCrops, steps: Iterable[int], workers: int, pin_memory: bool = False
) -> Iterator[CropBatch]:
    """The crops of some steps, in order; the same for any number of workers.

    Args:
        crops: by step.
        steps: which ones; may be endless.
        workers: processes that read and augment ahead; 0 does it here, when a batch is asked for.
        pin_memory: for a GPU.

    Raises:
        UserError: an augmentation cannot read a sound of the user's.
    """
    loader: torch.utils.data.DataLoader[CropBatch | UserError] = torch.utils.data.DataLoader(
        _ErrorsAsItems(crops),  # type: ignore[arg-type]
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_one_thread,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


class _ErrorsAsItems:
    """Returns a UserError as it is; raised in a worker, it would come with that worker's traceback."""

    def __init__(self, crops: PairCrops) -> None:
        self._crops = crops

    def __getitem__(self, step: int) -> CropBatch | UserError:
        try:
            return self._crops[step]
        except UserError as error:
            return error


def _one_thread(_worker: int) -> None:
    # The products of a single crop are small, and the threads of several workers wait for each other: two workers
    # were slower than one without this, and are twice as fast with it.
    threadpool_limits(1)
