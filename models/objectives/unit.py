"""Vectors of norm 1, which objectives compare."""

from __future__ import annotations

from echopair.lazy import torch


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors scaled to norm 1 along the last axis; a zero vector stays zero.

    Args:
        vectors: of any floating type and norm.

    Returns:
        In float32, or in float64 if they are.
    """
    exact = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return torch.nn.functional.normalize(exact, dim=-1)
