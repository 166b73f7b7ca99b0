"""What objectives compare: numbers of enough digits, and vectors of norm 1."""

from __future__ import annotations

from echopair.lazy import torch


def exact(values: torch.Tensor) -> torch.Tensor:
    """Values of any floating type in float32, or in float64 if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors scaled to norm 1 along the last axis; a zero vector stays zero.

    Args:
        vectors: of any floating type and norm.

    Returns:
        In float32, or in float64 if they are.
    """
    return torch.nn.functional.normalize(exact(vectors), dim=-1)
