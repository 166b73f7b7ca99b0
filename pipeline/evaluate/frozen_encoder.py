"""What `echopair evaluate` needs of an encoder, ours or another's, and the mel statistics that stand beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import np, torch
from echopair.pipeline.embed import (
    MEL_STATISTICS,
    Embeddings,
    clip_ids,
    embed,
    mel_statistics,
    mel_statistics_of,
    pretrained_inputs,
    untrained_encoder,
    untrained_inputs,
)
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder
    from echopair.models.log_mel import LogMel
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.store import ClipStore

# Sound that is embedded at once, of clips of any length: some tens of megabytes.
SECONDS_PER_BATCH = 120


class FrozenEncoder(ABC):
    """Waveforms to embeddings; nothing of it changes.

    Args:
        name: what tables and files call it.
        sample_rate_hz: of the waveforms that it takes.
        inputs: all that decides its embeddings, as JSON.
        baseline: whether it stands beside the evaluated encoders, and is none of them.
    """

    def __init__(self, name: str, sample_rate_hz: int, inputs: Any, *, baseline: bool = False) -> None:
        self.name = name
        self.sample_rate_hz = sample_rate_hz
        self.inputs = inputs
        self.baseline = baseline

    @property
    def audio_encoder(self) -> AudioEncoder | None:
        """The encoder of echopair, which can be trained on; None of mel statistics and of peers."""
        return None

    @abstractmethod
    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Embed waveforms of any length.

        Args:
            waveforms: each (samples,) at `sample_rate_hz`, within about -1..1.

        Returns:
            (waveforms, D), finite.
        """

    def embed_store(self, store: ClipStore, title: str) -> Embeddings:
        """Embed every clip of a store, whose rate is `sample_rate_hz`; `title` is what the progress bar says."""
        rows: list[NDArray[np.float32]] = []
        batch: list[NDArray[np.float32]] = []
        with progress_bar(title, len(store), "clips") as advance:
            for clip in range(len(store)):
                batch.append(store.read(clip))
                last = clip == len(store) - 1
                if last or sum(map(len, batch)) >= SECONDS_PER_BATCH * self.sample_rate_hz:
                    rows.append(self.embed(batch))
                    advance(len(batch))
                    batch = []
        return Embeddings(np.concatenate(rows), clip_ids(store))


class MelStatistics(FrozenEncoder):
    """Mean and standard deviation of each mel band over time: what needs no network."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(MEL_STATISTICS, config.log_mel.sample_rate_hz, config.log_mel, baseline=True)
        self._config = config.log_mel

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `FrozenEncoder`."""
        log_mel = self._log_mel()
        return np.stack([mel_statistics_of([one], log_mel) for one in waveforms])

    def embed_store(self, store: ClipStore, title: str) -> Embeddings:
        """See `FrozenEncoder`; of long clips it reads a part at a time."""
        return mel_statistics(store, self._log_mel(), title)

    def _log_mel(self) -> LogMel:
        from echopair.models.log_mel import LogMel

        return LogMel(self._config)


class OwnEncoder(FrozenEncoder):
    """An encoder of echopair.

    Args:
        name: what tables call it.
        encoder: loaded.
        inputs: all that decides its embeddings.
        config: batch size.
        baseline: whether it is the untrained one beside another.
    """

    def __init__(
        self, name: str, encoder: AudioEncoder, inputs: Any, config: RunConfig, *, baseline: bool = False
    ) -> None:
        super().__init__(name, encoder.config.log_mel.sample_rate_hz, inputs, baseline=baseline)
        self._encoder = encoder
        self._config = config.embed

    @classmethod
    def pretrained(cls, name: str, encoder: AudioEncoder, digest: str, config: RunConfig) -> OwnEncoder:
        """An encoder whose files have this digest."""
        return cls(name, encoder, pretrained_inputs(digest, config.embed), config)

    @classmethod
    def untrained(cls, name: str, of: AudioEncoder, folder: Path, config: RunConfig) -> OwnEncoder:
        """The untrained encoder of the architecture of another, which lies in a folder."""
        inputs = untrained_inputs(folder, config)
        return cls(name, untrained_encoder(of.config, config), inputs, config, baseline=True)

    @property
    def audio_encoder(self) -> AudioEncoder:
        """The encoder itself."""
        return self._encoder

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `FrozenEncoder`."""
        embeddings: torch.Tensor = self._encoder.embed(list(waveforms), self.sample_rate_hz)
        return embeddings.numpy()

    def embed_store(self, store: ClipStore, title: str) -> Embeddings:
        """See `FrozenEncoder`; exactly what the stage `embed` of a run makes."""
        return embed(store, self._encoder.folded(), self._config, title)
