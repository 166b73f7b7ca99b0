"""Segments: the sources of pairs that clips have, and which of them each training step uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.store import ClipStore


class SegmentIndex:
    """The segments of all clips of several stores: parts of clips, each a source of pairs; long clips have several.

    `table` (S, 4) has the store, the clip, the first sample in it and the number of samples of each, `clips` (S,)
    the clip's number over all stores.

    A recording of an hour is no single pair among clips of seconds: it is cut into segments of about
    `segment_seconds`, and an epoch visits each segment once.

    Args:
        stores: clips, at one rate.
        segment_samples: of a segment, about; at least `least_samples`.
        least_samples: if above 0, clips are used without the digital silence at their ends, and those that then have
            fewer samples are left out; `left_out` is their number.
    """

    def __init__(self, stores: Sequence[ClipStore], segment_samples: int, least_samples: int = 0) -> None:
        parts = []
        for number, store in enumerate(stores):
            first, samples = np.zeros_like(store.samples), store.samples
            if least_samples and len(store):
                first, samples = np.array([store.sounding(clip) for clip in range(len(store))]).T
            used = np.flatnonzero(samples >= least_samples)
            counts = np.maximum(1, samples[used] // segment_samples)
            clips = np.repeat(used, counts)
            within = np.arange(len(clips)) - np.repeat(np.cumsum(counts) - counts, counts)
            lengths = samples[clips] // np.repeat(counts, counts)
            starts = first[clips] + within * lengths
            parts.append(np.stack([np.full_like(clips, number), clips, starts, lengths], axis=1))
        self.table: NDArray[np.int64] = np.concatenate(parts)
        first_clips = np.cumsum([0, *(len(store) for store in stores)])[:-1]
        self.clips: NDArray[np.int64] = first_clips[self.table[:, 0]] + self.table[:, 1]
        self.left_out = sum(map(len, stores)) - len(np.unique(self.clips))

    def __len__(self) -> int:
        return len(self.table)


class SegmentOrder:
    """The segments of every step; in an epoch, each is used once at most, and the few left over wait for the next one.

    Args:
        segments: S, at least 2.
        pairs: segments of a step; as many as there are, if fewer.
        seed: of the run.
        recordings: (S,) of each segment, counted from 0; no step then has two of one recording. A recording that has
            more segments than an epoch has steps gives other ones to each epoch. None: recordings do not matter.
    """

    def __init__(
        self, segments: int, pairs: int, seed: int, recordings: NDArray[np.int64] | None = None
    ) -> None:
        self.pairs = min(pairs, segments if recordings is None else len(np.unique(recordings)))
        self.steps_per_epoch = segments // self.pairs
        if recordings is not None:
            self.steps_per_epoch = _steps_without_repetition(np.bincount(recordings), self.pairs)
        self._segments = segments
        self._seed = seed
        self._recordings = recordings
        self._last: tuple[int, NDArray[np.int64]] | None = None

    def segments_of(self, step: int) -> NDArray[np.int64]:
        """Numbers of the segments of a step, all different."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._last is None or self._last[0] != epoch:
            self._last = epoch, self._order_of(epoch)
        segments: NDArray[np.int64] = self._last[1][position]
        return segments

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        """(steps, pairs) of an epoch."""
        generator = numpy_generator(self._seed, epoch, Stream.CLIP_ORDER)
        steps, used = self.steps_per_epoch, self.steps_per_epoch * self.pairs
        order = generator.permutation(self._segments)
        if self._recordings is None:
            return order[:used].reshape(steps, self.pairs)
        # Recordings in random order, the segments of each one after the other, and no more of them than steps.
        rank = generator.permutation(self._recordings.max() + 1)[self._recordings[order]]
        by_recording = np.argsort(rank, kind="stable")
        counts = np.bincount(rank)
        place = np.arange(len(rank)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[by_recording][place < steps]
        order = order[np.sort(generator.permutation(len(order))[:used])]
        # Dealt out to the steps in turn, so that those of one recording come to different steps.
        dealt: NDArray[np.int64] = order.reshape(self.pairs, steps).T
        return dealt[generator.permutation(steps)]


def _steps_without_repetition(counts: NDArray[np.int64], pairs: int) -> int:
    """The most steps of an epoch of which none has a recording twice.

    Args:
        counts: segments of each recording; at least `pairs` recordings.
        pairs: segments of a step.
    """
    fewest, most = 1, int(counts.sum()) // pairs
    while fewest < most:
        steps = (fewest + most + 1) // 2
        if (
            np.minimum(counts, steps).sum() >= steps * pairs
        ):  # a recording fills one place of each step at most
            fewest = steps
        else:
            most = steps - 1
    return fewest
