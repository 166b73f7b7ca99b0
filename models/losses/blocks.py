"""Sums over all pairs of queries and keys, in memory linear in their number.

All similarities of Q queries and K keys would be a matrix of Q K values. Above twice `BLOCK_VALUES`, sum and gradient
are computed from one block of queries after the other, and no block is kept for the backward pass. The result is that
of the whole matrix but for the order of sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopair.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Losses = Callable[
        [torch.Tensor, torch.Tensor, float | torch.Tensor], tuple[torch.Tensor, torch.Tensor | int]
    ]

# Similarities that are held at once: on a CPU, 2 MB in float32 stay in the cache.
BLOCK_VALUES = {"cpu": 2**19, "cuda": 2**26}


def inner_products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Inner products (Q, K) of queries (Q, P) and keys (K, P): cosine similarities if both have norm 1."""
    return queries @ keys.T


def distances(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (Q, K) of queries (Q, P) and keys (K, P); the gradient at 0 is 0.

    From differences, since 2 - 2 cos is not exact near 0.
    """
    return torch.cdist(queries, keys, compute_mode="donot_use_mm_for_euclid_dist")


def sum_over_blocks(
    losses: Losses,
    queries: torch.Tensor,
    keys: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = inner_products,
) -> tuple[torch.Tensor, torch.Tensor | int]:
    """Sum of the losses of queries that are compared with all keys.

    Args:
        losses: of the numbers (B,) of some queries, their similarities (B, K) and the temperature: the sum of their
            losses, and a number without a gradient, such as how many values are added up.
        queries: (Q, P).
        keys: (K, P).
        temperature: given to `losses`; a scalar tensor has a gradient.
        compare: queries (B, P) with keys (K, P), as (B, K).

    Returns:
        Scalar, with the gradient of first order by queries, keys and temperature; and the sum of the numbers.
    """
    device = queries.device
    most = BLOCK_VALUES["cpu" if device.type == "cpu" else "cuda"]
    if len(queries) * len(keys) <= 2 * most:  # two blocks take longer than the whole matrix
        return losses(torch.arange(len(queries), device=device), compare(queries, keys), temperature)
    inputs = (queries, keys, torch.as_tensor(temperature, dtype=queries.dtype, device=device))
    learns = torch.is_grad_enabled() and any(one.requires_grad for one in inputs)
    _, all_keys, divisor = leaves = [one.detach().requires_grad_(learns) for one in inputs]
    # All memory that outlives a block is taken at once, since pieces of it would fragment the rest.
    of_queries, of_keys, _ = gradients = [torch.zeros_like(one) for one in inputs]
    if learns:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
    total: torch.Tensor = torch.zeros((), dtype=queries.dtype, device=device)
    count: torch.Tensor | int = 0
    size = max(1, most // len(keys))
    for start in range(0, len(queries), size):
        some = queries.detach()[start : start + size].requires_grad_(learns)
        compared = compare(some, all_keys)
        similarities = compared.detach().requires_grad_(learns)
        rows = torch.arange(start, start + len(some), device=device)
        one, number = losses(rows, similarities, divisor)
        total, count = total + one.detach(), count + number
        if not learns:
            continue
        one.backward()  # type: ignore[no-untyped-call]  # adds to the gradient of the temperature
        assert similarities.grad is not None
        if compare is inner_products:  # in place, which is faster than autograd
            torch.matmul(similarities.grad, keys.detach(), out=of_queries[start : start + size])
            of_keys.addmm_(similarities.grad.T, some.detach())
        else:
            compared.backward(similarities.grad)  # type: ignore[no-untyped-call]  # adds to that of the keys
            assert some.grad is not None
            of_queries[start : start + size] = some.grad
    for value, gradient in zip(inputs, gradients, strict=True):
        if learns and value.requires_grad:
            total = _with_gradient(total, value, gradient)
    return total, count


def _with_gradient(total: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Add a term that is 0 and has the given gradient by a value."""
    term = (value * gradient).sum()
    return total + (term - term.detach())
