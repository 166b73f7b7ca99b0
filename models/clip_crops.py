"""Where the crops of a clip lie, and how their embeddings become that of the clip."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def crop_starts(samples: int, crop_samples: int, crop_hop_samples: int) -> NDArray[np.int64]:
    """First samples of the fixed crops that cover a whole clip; the last one ends with the clip.

    Args:
        samples: length of the clip, at least 1; shorter than a crop gives the one start 0.
        crop_samples: length of a crop.
        crop_hop_samples: distance between starts, at most `crop_samples`.
    """
    last = max(0, samples - crop_samples)
    starts = np.arange(0, last + 1, crop_hop_samples, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def tile_to_length(waveform: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Repeat a waveform that is too short for a crop until it fills one; a longer one is left alone."""
    return waveform if waveform.shape[0] >= samples else np.resize(waveform, samples)


class ClipPool:
    """Mean and maximum of crop embeddings, gathered batch by batch: (clips, 2 D) float32."""

    def __init__(self, clips: int, embedding_dim: int) -> None:
        self._sum = torch.zeros(clips, embedding_dim)
        self._max = torch.full((clips, embedding_dim), -torch.inf)
        self._crops = torch.zeros(clips, 1)

    def add(self, crop_embeddings: Tensor, clips: Tensor) -> None:
        """Take in (B, D) embeddings of crops that belong to the clips (B,) of these numbers."""
        self._sum.index_add_(0, clips, crop_embeddings)
        self._max.scatter_reduce_(0, clips[:, None].expand_as(crop_embeddings), crop_embeddings, "amax")
        self._crops.index_add_(0, clips, torch.ones(len(clips), 1))

    def result(self) -> Tensor:
        """(clips, 2 D): the mean over the crops of each clip, then the maximum."""
        return torch.cat([self._sum / self._crops, self._max], dim=1)
