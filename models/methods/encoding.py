"""Embeddings and feature maps of the views of a batch, all at once or in chunks."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

from echopair.lazy import torch
from echopair.models.processes import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from echopair.models.encoders.base import Encoder


def encode(
    encoder: torch.nn.Module, views: Sequence[torch.Tensor], at_once: int | None = None
) -> torch.Tensor:
    """Embeddings (V, N, D) of V views, of all processes; see `encode_share`."""
    return gather(encode_share(encoder, views, at_once), dim=1)


def encode_share(
    encoder: torch.nn.Module, views: Sequence[torch.Tensor], at_once: int | None = None
) -> torch.Tensor:
    """Embeddings (V, n, D) of V views (n, 1, F, T_v); neighbours of equal length in one forward pass.

    Args:
        encoder: of a method.
        views: of a batch; n is its N, or the share of this process.
        at_once: how many views a forward pass takes at most, see `in_chunks`; None for all.
    """
    embeddings = [
        in_chunks(encoder, encoder, flat, at_once) for flat in _of_equal_length(views)
    ]  # (views n, D)
    return torch.cat(embeddings).reshape(len(views), len(views[0]), -1)


def feature_maps(
    encoder: Encoder, views: Sequence[torch.Tensor], at_once: int | None = None
) -> list[torch.Tensor]:
    """Feature maps, V of (N, C, F', T'), of V views (n, 1, F, T_v); see `encode`."""
    maps: list[torch.Tensor] = []
    for flat in _of_equal_length(views):
        maps += in_chunks(encoder.features, encoder, flat, at_once).chunk(len(flat) // len(views[0]))
    return [gather(one) for one in maps]


def _of_equal_length(views: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Neighbours of equal length in one tensor, (views N, 1, F, T)."""
    for _, group in groupby(views, key=lambda view: view.shape[-1]):
        yield torch.cat(list(group)).contiguous(memory_format=torch.channels_last)


def in_chunks(
    function: Callable[[torch.Tensor], torch.Tensor],
    encoder: torch.nn.Module,
    inputs: torch.Tensor,
    at_once: int | None,
) -> torch.Tensor:
    """Apply a function to chunks of its inputs, and once more to each when its gradient is computed.

    What the backward pass needs is then held for one chunk alone. Value and gradient are those of all inputs at once,
    but for batch normalisation, which takes the statistics of each chunk.

    Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, RepL4NLP 2021, section
    3.2 (gradient caching).

    Args:
        function: of inputs (B, ...), independent of each other.
        encoder: that the function applies.
        inputs: (B, ...).
        at_once: size of the largest chunk; None for all inputs.
    """
    if at_once is None or len(inputs) <= at_once:
        return function(inputs)
    from torch.utils.checkpoint import checkpoint  # not a part of the torch that is loaded lazily

    chunks = inputs.tensor_split(math.ceil(len(inputs) / at_once))
    return torch.cat(
        [
            checkpoint(
                function,
                chunk,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _seen_before(encoder)),
            )
            for chunk in chunks
        ]
    )


@contextmanager
def _seen_before(encoder: torch.nn.Module) -> Iterator[None]:
    """Leave running statistics as they are, since the chunk is already in them."""
    norms: list[Any] = [one for one in encoder.modules() if getattr(one, "track_running_stats", False)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)
