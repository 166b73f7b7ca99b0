"""The clip store: waveforms as memory-mapped int16 shards, and a manifest beside them."""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from echopair.pipeline.log_mel_clips import LogMelClips

MANIFEST_FILE = "manifest.parquet"
ZEROS_BLOCK = 4096


def manifest_schema() -> "pa.Schema":
    """The columns of a manifest."""
    import pyarrow as pa

    return pa.schema(
        [
            ("path", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("fold", pa.string()),
            ("split", pa.string()),
            ("group", pa.string()),
            ("samples", pa.int64()),
            ("seconds", pa.float64()),
            ("original_rate_hz", pa.int32()),
            ("channels", pa.int32()),
            ("peak_dbfs", pa.float32()),
            ("loudness_lufs", pa.float32()),
            ("samples_sha256", pa.string()),
            # samples_sha256 of the first clip that holds the same recording, or a part of it
            ("sound", pa.string()),
            ("shard", pa.int32()),
            ("offset", pa.int64()),
            ("scale", pa.float32()),
        ]
    )


def shard_file(shard: int) -> str:
    """Name of a shard: little-endian int16 samples, clip after clip."""
    return f"clips-{shard:04d}.int16"


class ClipStore:
    """The clips of one corpus, at one sample rate; reading touches only the samples asked for.

    Args:
        folder: what `prepare` wrote.
        sample_rate_hz: rate of its clips.

    Attributes:
        log_mels: of the whole clips, for trainings that cut their crops from them.
    """

    def __init__(self, folder: Path, sample_rate_hz: int) -> None:
        import pyarrow.parquet as pq

        self.folder = folder
        self.sample_rate_hz = sample_rate_hz
        self.log_mels: LogMelClips | None = None
        self.manifest = pq.read_table(folder / MANIFEST_FILE, schema=manifest_schema())
        self.samples: NDArray[np.int64] = self.manifest["samples"].to_numpy()
        self._shard: NDArray[np.int32] = self.manifest["shard"].to_numpy()
        self._offset: NDArray[np.int64] = self.manifest["offset"].to_numpy()
        self._scale: NDArray[np.float32] = self.manifest["scale"].to_numpy()

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def _shards(self) -> list[NDArray[np.int16]]:
        # Opened at the first read, so that a store pickled to a worker process maps the files there.
        shards = int(self._shard.max()) + 1 if len(self) else 0
        # As plain arrays: slices of a memmap take longer to make.
        return [np.asarray(np.memmap(self.folder / shard_file(n), "<i2", "r")) for n in range(shards)]

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_shards"}

    def only(self, clips: NDArray[np.int64]) -> Self:
        """The store of some of its clips, (N,) indices, which are numbered from 0 in this order; nothing is copied."""
        part = copy.copy(self)
        part.log_mels = None
        part.manifest = self.manifest.take(clips)
        part.samples, part._shard = self.samples[clips], self._shard[clips]
        part._offset, part._scale = self._offset[clips], self._scale[clips]
        return part

    def read(self, clip: int, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
        """Part of a clip, (samples,) float32; a clip that is too short is repeated until it fills them."""
        wanted = int(self.samples[clip]) if samples is None else samples
        waveform = np.empty(wanted, dtype=np.float32)
        self.read_into(waveform, clip, start)
        return waveform

    def read_into(self, waveform: NDArray[np.float32], clip: int, start: int) -> None:
        """Fill an array (samples,) as `read` would, without taking memory for it, which costs more than the reading."""
        first = int(self._offset[clip]) + start
        last = min(first + len(waveform), int(self._offset[clip] + self.samples[clip]))
        read = waveform[: last - first]
        np.multiply(self._shards[self._shard[clip]][first:last], self._scale[clip], out=read)
        if len(read) < len(waveform):
            waveform[:] = np.resize(read, len(waveform))

    def sounding(self, clip: int) -> tuple[int, int]:
        """First sample of a clip behind the zeros at its beginning, and the number of samples up to those at its end.

        Zeros at the ends are digital silence, which some corpora fill their clips up with. A clip of zeros alone has
        no samples.
        """
        first = int(self._offset[clip])
        samples = self._shards[self._shard[clip]][first : first + int(self.samples[clip])]
        before = _leading_zeros(samples)
        return before, len(samples) - before - _leading_zeros(samples[before:][::-1])

    def read_crops(self, clips: Sequence[int], starts: Sequence[int], samples: int) -> NDArray[np.float32]:
        """Crops of many clips, (B, samples) float32."""
        crops = np.empty((len(clips), samples), dtype=np.float32)
        for row, (clip, start) in enumerate(zip(clips, starts, strict=True)):
            self.read_into(crops[row], clip, start)
        return crops

    def labels(self) -> list[tuple[str, ...]]:
        """The labels of each clip, none or several, in the manifest's order."""
        return [tuple(labels) for labels in self.manifest["labels"].to_pylist()]

    def column(self, name: str) -> list[str | None]:
        """A text column of the manifest: path, fold, split, group, samples_sha256 or sound."""
        values: list[str | None] = self.manifest[name].to_pylist()
        return values


def _leading_zeros(samples: NDArray[np.int16]) -> int:
    # In blocks: only as much of a long recording is read as is zero.
    for start in range(0, len(samples), ZEROS_BLOCK):
        found = np.flatnonzero(samples[start : start + ZEROS_BLOCK])
        if found.size:
            return start + int(found[0])
    return len(samples)
