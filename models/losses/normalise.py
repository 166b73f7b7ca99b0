"""Conversion to float32 and scaling to norm 1, as all losses need them."""

from __future__ import annotations

from echopair.lazy import torch


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Convert floating-point values to float32; float64 stays float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def l2_normalise(vectors: torch.Tensor) -> torch.Tensor:
    """Scale vectors to norm 1 along the last axis; a zero vector stays zero.

    Args:
        vectors: of any floating type and norm.

    Returns:
        In float32, or in float64 if they are.
    """
    return torch.nn.functional.normalize(at_least_float32(vectors), dim=-1)
