"""Embeds clips of a store, or parts of them, in batches of crops of many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np, torch
from echopair.pipeline.cores import cpu_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.store import ClipStore


def embed_clips(
    store: ClipStore,
    clips: NDArray[np.int64],
    encoder: AudioEncoder,
    batch_crops: int,
    on_clip: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Embed some clips as `embed` does, in silence.

    Args:
        store: clips at the encoder's sample rate.
        clips: (N,) indices in the store.
        encoder: in evaluation mode.
        batch_crops: crops in one forward pass.
        on_clip: called when a clip's last crop has been queued.

    Returns:
        (N, D) in the order of `clips`.
    """
    whole = [Window(int(clip), 0, int(store.samples[clip])) for clip in clips]
    return embed_windows(store, whole, encoder, batch_crops, lambda _window: on_clip())


class Window(NamedTuple):
    """A part of a clip of a store: from one sample up to another, at most the clip's last."""

    clip: int
    start: int
    end: int


def embed_windows(
    store: ClipStore,
    windows: Sequence[Window],
    encoder: AudioEncoder,
    batch_crops: int,
    on_window: Callable[[Window], None] = lambda _window: None,
) -> NDArray[np.float32]:
    """Embed parts of clips as `AudioEncoder.embed` would, in batches of crops of many windows.

    On a CPU every batch has one thread, and as many batches are computed at once as torch has threads: threads that
    share a batch wait for each other at every layer, for long where another process takes a core from one of them.

    Args:
        store: clips at the encoder's sample rate.
        windows: (N,); one that is shorter than a crop is a whole clip.
        encoder: in evaluation mode.
        batch_crops: crops in one forward pass; those that windows of a batch share are computed once.
        on_window: called with each window when its last crop has been queued.

    Returns:
        (N, D) in the order of `windows`.
    """
    from echopair.models.clip_crops import ClipPool, crop_starts

    crop_samples, hop_samples = encoder.config.crop_samples, encoder.config.crop_hop_samples
    pool = ClipPool(len(windows), encoder.crop_embedding_dim)
    rows: list[int] = []
    crops: list[int] = []  # of each row, a number of `places`
    places: dict[tuple[int, int], int] = {}  # clip and start of each crop of the batch

    queue: deque[tuple[Future[torch.Tensor], list[int], list[int]]] = deque()

    def embed_batch(batch: Sequence[tuple[int, int]]) -> torch.Tensor:
        clips, starts = zip(*batch, strict=True)
        waveforms = torch.from_numpy(store.read_crops(clips, starts, crop_samples))
        return encoder.embed_crops(waveforms, torch.tensor(clips), torch.tensor(starts))

    def take() -> None:
        embeddings, crops_of_batch, rows_of_batch = queue.popleft()
        pool.add(embeddings.result()[crops_of_batch], torch.tensor(rows_of_batch))

    workers = torch.get_num_threads() if encoder.device.type == "cpu" else 1
    with cpu_threads(1), ThreadPoolExecutor(workers, "embed", torch.set_num_threads, (1,)) as executor:

        def flush() -> None:
            queue.append((executor.submit(embed_batch, list(places)), crops.copy(), rows.copy()))
            rows.clear()
            crops.clear()
            places.clear()
            if len(queue) > 2 * workers:  # a bounded queue
                take()

        for row, window in enumerate(windows):
            for start in crop_starts(window.end - window.start, crop_samples, hop_samples).tolist():
                rows.append(row)
                crops.append(places.setdefault((window.clip, window.start + start), len(places)))
                if len(places) == batch_crops:
                    flush()
            on_window(window)
        if rows:
            flush()
        while queue:
            take()
    return pool.result().numpy()
