"""Recordings: which clips are cut from one recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.labels import sources_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.store import ClipStore


def recordings_of(stores: Sequence[ClipStore]) -> NDArray[np.int64]:
    """The number of the recording that each clip of all stores is cut from, (clips,) int64.

    Clips of a corpus that have the same `group` are of one recording, and so are copies of one sound (the column
    `sound`), in different corpora too. A clip with neither is a recording of its own.

    Raises:
        UserError: all are of one recording.
    """
    groups, sounds = [], []
    for number, store in enumerate(stores):
        groups += [group and f"{number}/{group}" for group in store.column("group")]
        sounds += store.column("sound")
    numbers: NDArray[np.int64] = np.unique(sources_of(groups, sounds), return_inverse=True)[1]
    if not numbers.any():
        raise UserError(
            "all pretraining clips are cut from one recording, or are copies of it, and no two of one recording are to "
            "be compared; add recordings, or set crops.recordings_apart=false and "
            "objective.ignore_same_recording=false"
        )
    return numbers
