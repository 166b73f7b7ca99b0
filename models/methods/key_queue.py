"""The queue of MoCo: keys of earlier batches, and the sources that they are of."""

import torch
from torch import nn


class KeyQueue(nn.Module):
    """The last keys, the oldest replaced first.

    Args:
        length: K, at least the keys of a step.
        projection_dim: P; at first all are random directions, of no source.
    """

    keys: torch.Tensor
    sources: torch.Tensor
    oldest: torch.Tensor

    def __init__(self, length: int, projection_dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", nn.functional.normalize(torch.randn(length, projection_dim)))
        self.register_buffer("sources", torch.full((length,), -1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def add(self, keys: torch.Tensor, sources: torch.Tensor) -> None:
        """Replace the oldest by new ones.

        Args:
            keys: (N, P), of norm 1, N at most K.
            sources: (N,) numbers, from 0, of the segments or recordings that they are of.
        """
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[places] = keys
        self.sources[places] = sources
        self.oldest = (self.oldest + len(keys)) % len(self.keys)
