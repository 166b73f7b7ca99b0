"""Encoders that give a vector a frame, as wav2vec 2.0: the mean over time is the embedding of a clip."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from echopair.lazy import np, torch
from echopair.pipeline.evaluate.peers.peer import Peer

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Attention needs memory in the square of the length.
LONGEST_SECONDS = 30
# One frame of wav2vec 2.0 sees 25 ms; a clip that is shorter is repeated.
SHORTEST_SECONDS = 0.1


class FrameEncoder(Peer):
    """An encoder whose frames are averaged; each clip by itself, as normalisation over time depends on padding.

    A clip above 30 s is cut into equal parts of at most 30 s, and the mean is of all their frames.
    """

    @abstractmethod
    def frames(self, waveform: NDArray[np.float32]) -> torch.Tensor:
        """The last hidden state (T, D) of one waveform (samples,)."""

    def embed_equal(self, waveforms: NDArray[np.float32]) -> Any:
        """See `Peer`."""
        return torch.stack([self._mean(one) for one in waveforms])

    def _mean(self, waveform: NDArray[np.float32]) -> torch.Tensor:
        from echopair.models.clip_crops import tile_to_length

        waveform = tile_to_length(waveform, math.ceil(SHORTEST_SECONDS * self.sample_rate_hz))
        parts = math.ceil(len(waveform) / (LONGEST_SECONDS * self.sample_rate_hz))
        return torch.cat([self.frames(part) for part in np.array_split(waveform, parts)]).mean(0)
