"""Log-mels of whole clips, computed once for all trainings that cut their crops from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import np
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import StageOutput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.log_mel import LogMel
    from echopair.models.log_mel_config import LogMelConfig
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.stages import Done
    from echopair.pipeline.store import ClipStore

LOG_MELS_FILE = "log_mels.float16"
LOG_MELS_VERSION = 1
# Of a clip at once, so that a recording of a day takes no more memory than one of seconds.
FRAMES_AT_ONCE = 4096


class LogMelClips:
    """The log-mels of a store's clips, as a memory-mapped file of frames, clip after clip.

    Frame t of a clip of L samples is the one that `LogMel` gives as frame t of its first L // hop whole hops, so
    that a crop that begins on a frame has the frames of its own log-mel. Only those at its edges differ: they hold
    the sound around the crop, where a crop by itself is padded.

    Args:
        folder: what `write_log_mels` wrote.
        store: whose clips they are.
        config: front end.
    """

    def __init__(self, folder: Path, store: ClipStore, config: LogMelConfig) -> None:
        self.folder = folder
        self.file = folder / LOG_MELS_FILE
        self.mel_bands = config.mel_bands
        self.hop_samples = config.hop_samples
        self._frames = frames_of(store, config.hop_samples)
        self._first = np.cumsum(self._frames) - self._frames
        self._values: NDArray[np.float16] | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_values": None}  # a worker process maps the file itself

    def read_into(self, frames: NDArray[np.float16], clip: int, start: int) -> None:
        """Fill (T, F) with the frames of a clip from one on; a clip that ends before is repeated from there."""
        if self._values is None:
            self._values = np.asarray(np.memmap(self.file, "<f2", "r")).reshape(-1, self.mel_bands)
        first = self._first[clip]
        start = min(start, int(self._frames[clip]) - 1)  # the rest of a clip behind its last whole hop
        found = self._values[first + start : first + min(start + len(frames), self._frames[clip])]
        frames[:] = found if len(found) == len(frames) else np.resize(found, frames.shape)


def frames_of(store: ClipStore, hop_samples: int) -> NDArray[np.int64]:
    """Frames of each clip, (clips,)."""
    frames: NDArray[np.int64] = np.maximum(1, store.samples // hop_samples)
    return frames


def log_mels_output(config: RunConfig, corpus: str, clips: Done) -> StageOutput:
    """Where the log-mels of a corpus are kept, and what decides them."""
    return StageOutput(
        f"log-mels of {corpus}",
        config.work_folder.absolute() / "log_mels" / corpus,
        [clips.digest, config.log_mel.key_inputs()],
        LOG_MELS_VERSION,
        ("torch", "torchaudio"),
    )


def write_log_mels(corpus: str, store: ClipStore, config: LogMelConfig, folder: Path) -> Mapping[str, Any]:
    """Compute the log-mels of all clips.

    Args:
        corpus: its name, for the progress bar.
        store: its clips.
        config: front end.
        folder: existing folder, gets (frames, F) float16, natural logarithm of mel power. The steps of float16 are
            at most 0.016 (0.07 dB).

    Returns:
        Figures for the stage's marker: `digest` of the log-mels, `frames`.
    """
    from echopair.models.log_mel import LogMel

    log_mel = LogMel(config)
    digest = hashlib.sha256()
    frames = frames_of(store, config.hop_samples)
    with (
        (folder / LOG_MELS_FILE).open("wb") as file,
        progress_bar(f"log-mels of {corpus}", int(frames.sum()), "frames") as advance,
    ):
        for clip in range(len(store)):
            for values in _log_mel_frames(store, clip, log_mel, int(frames[clip])):
                digest.update(values.data)
                file.write(values.data)
            advance(int(frames[clip]))
    return {"digest": digest.hexdigest(), "frames": int(frames.sum())}


def _log_mel_frames(
    store: ClipStore, clip: int, log_mel: LogMel, frames: int
) -> Iterator[NDArray[np.float16]]:
    """The frames of a clip in parts (n, F)."""
    import torch

    hop = log_mel.config.hop_samples
    around = -(-log_mel.fft_samples // hop)  # frames that hold samples of a part's own first or last one
    for begin in range(0, frames, FRAMES_AT_ONCE):
        end = min(begin + FRAMES_AT_ONCE, frames)
        first, last = max(0, begin - around), min(frames, end + around)
        waveform = store.read(clip, first * hop, (last - first) * hop)
        found = log_mel(torch.from_numpy(waveform)[None])[0, :, begin - first : end - first]  # (F, n)
        yield found.T.half().contiguous().numpy()
