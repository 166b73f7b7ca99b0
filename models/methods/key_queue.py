"""The queue of MoCo: keys of earlier batches, and the segments that they are of."""

import torch
from torch import nn


class KeyQueue(nn.Module):
    """The last keys, the oldest replaced first.

    Args:
        length: K, at least the keys of a step.
        projection_dim: P; at first all are random directions, of no segment.
    """

    keys: torch.Tensor
    segments: torch.Tensor
    oldest: torch.Tensor

    def __init__(self, length: int, projection_dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", nn.functional.normalize(torch.randn(length, projection_dim)))
        self.register_buffer("segments", torch.full((length,), -1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def add(self, keys: torch.Tensor, segments: torch.Tensor) -> None:
        """Replace the oldest by new ones.

        Args:
            keys: (N, P), of norm 1, N at most K.
            segments: (N,) of each the segment.
        """
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[places] = keys
        self.segments[places] = segments
        self.oldest = (self.oldest + len(keys)) % len(self.keys)
