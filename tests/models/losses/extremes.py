"""Vectors and temperatures that break a careless loss."""

from collections.abc import Callable, Iterator

import torch


def extremes(pairs: int = 4, width: int = 8) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Two matrices (N, P): zeros, equal ones, opposite ones, tiny, huge."""
    vectors = torch.randn(pairs, width, generator=torch.Generator().manual_seed(0))
    yield torch.zeros(pairs, width), torch.zeros(pairs, width)
    yield torch.zeros(pairs, width), vectors
    yield torch.ones(pairs, width), torch.ones(pairs, width)
    yield vectors, -vectors
    yield 1e-20 * vectors, 1e20 * vectors


def assert_finite(loss: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]) -> None:
    """Value and gradient are finite and float32, for float32 and bfloat16 vectors, with and without autocast.

    Args:
        loss: of two matrices (N, P) and a temperature; the gradient is that of the first.
    """
    for first, second in extremes():
        for temperature in (0.01, 0.2, 10.0):
            for dtype in (torch.float32, torch.bfloat16):
                one, other = first.to(dtype).requires_grad_(), second.to(dtype)
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                    value = loss(one, other, temperature)
                assert value.dtype == torch.float32
                assert value.isfinite(), (first, second, temperature, dtype)
                (gradient,) = torch.autograd.grad(value, one)
                assert gradient.isfinite().all(), (first, second, temperature, dtype)
