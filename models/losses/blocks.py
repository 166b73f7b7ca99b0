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
    most = BLOCK_VALUES["cpu" if queries.device.type == "cpu" else "cuda"]
    if len(queries) * len(keys) <= 2 * most:  # two blocks take longer than the whole matrix
        return losses(torch.arange(len(queries), device=queries.device), compare(queries, keys), temperature)
    blocks = torch.split(torch.arange(len(queries), device=queries.device), max(1, most // len(keys)))
    learned = isinstance(temperature, torch.Tensor) and temperature.requires_grad
    learns = torch.is_grad_enabled() and (queries.requires_grad or keys.requires_grad or learned)
    if isinstance(temperature, torch.Tensor):
        temperature_leaf: float | torch.Tensor = temperature.detach().requires_grad_(learns)
    else:
        temperature_leaf = temperature
    # All memory that outlives a block is taken at once, since pieces of it would fragment the rest.
    of_queries, of_keys = (torch.zeros_like(one) if learns else None for one in (queries, keys))
    total: torch.Tensor = torch.zeros((), dtype=queries.dtype, device=queries.device)
    count: torch.Tensor | int = 0
    fixed_keys = keys.detach().requires_grad_(learns)
    fixed_keys.grad = of_keys
    for rows in blocks:
        some = queries[rows].detach().requires_grad_(learns)
        compared = compare(some, fixed_keys)
        similarities = compared.detach().requires_grad_(learns)
        one, number = losses(rows, similarities, temperature_leaf)
        total, count = total + one.detach(), count + number
        if of_queries is not None and of_keys is not None:
            one.backward()  # type: ignore[no-untyped-call]
            weights = similarities.grad
            assert weights is not None
            if compare is inner_products:  # in place, which is faster than autograd
                torch.matmul(weights, keys.detach(), out=of_queries[rows[0] : rows[-1] + 1])
                of_keys.addmm_(weights.T, some.detach())
            else:
                compared.backward(weights)  # type: ignore[no-untyped-call]  # adds to the gradient of the keys
                assert some.grad is not None
                of_queries[rows] = some.grad
    if of_queries is not None and of_keys is not None:
        total = _with_gradient(_with_gradient(total, queries, of_queries), keys, of_keys)
        if isinstance(temperature_leaf, torch.Tensor) and temperature_leaf.grad is not None:
            assert isinstance(temperature, torch.Tensor)
            total = _with_gradient(total, temperature, temperature_leaf.grad)
    return total, count


def _with_gradient(total: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Add a term that is 0 and has the given gradient by a value."""
    term = (value * gradient).sum()
    return total + (term - term.detach())
