"""Losses on pairs of projections with a margin: the contrastive pair loss and the lifted structured loss."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.anchors import (
    Anchors,
    log_sum_exp,
    mean_over_anchors,
    sum_of,
    sum_over_anchors,
)
from echopair.models.losses.blocks import distances
from echopair.models.losses.normalise import at_least_float32, l2_normalise


def contrastive_pairs(
    projections: torch.Tensor, margin: float, recordings: torch.Tensor | None = None
) -> torch.Tensor:
    """Positives attract each other; negatives repel each other as long as they are nearer than the margin.

    Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping" (CVPR 2006), equation 4,
    for all pairs of a batch: D^2 / 2 of positives and max(0, margin - D)^2 / 2 of negatives, D the distance of the
    projections scaled to norm 1. The mean over positives and that over negatives are added, since a batch has N - 1
    times as many negatives. Chopra, Hadsell and LeCun (CVPR 2005) introduced it, with another penalty of negatives.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        margin: above 0; distances are 2 at most.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast.
    """

    def shortfalls(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        return sum_of((margin - anchors.similarities).relu().square(), anchors.negatives())

    repulsion = mean_over_anchors(shortfalls, projections, recordings=recordings, compare=distances)
    return 0.5 * (_positive_distances(projections).square().mean() + repulsion)


def lifted_structure(
    projections: torch.Tensor, margin: float, recordings: torch.Tensor | None = None
) -> torch.Tensor:
    """Each positive pair against all negatives of both of its projections, near ones most.

    Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding" (CVPR 2016), equation 4, with the
    distances of projections scaled to norm 1.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        margin: above 0.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast.
    """
    views, pairs, _ = projections.shape
    near = torch.empty(views * pairs, dtype=at_least_float32(projections).dtype, device=projections.device)

    def keep(anchors: Anchors) -> tuple[torch.Tensor, int]:
        near[anchors.rows] = _log_nearness(anchors, margin)
        return near[0], 1

    with torch.no_grad():
        sum_over_anchors(keep, projections, recordings=recordings, compare=distances)
    near.requires_grad_(torch.is_grad_enabled() and projections.requires_grad)
    one, other = near.view(views, pairs)[_two_views(views)]  # (V (V - 1) / 2, N) each
    loss = 0.5 * (torch.logaddexp(one, other) + _positive_distances(projections)).relu().square().mean()
    if not near.requires_grad:
        return loss
    # An anchor is in the losses of all its positives, so its share of the gradient is known only now.
    (weights,) = torch.autograd.grad(loss, near, retain_graph=True)

    def weighted(anchors: Anchors) -> tuple[torch.Tensor, int]:
        return (weights[anchors.rows] * _log_nearness(anchors, margin)).sum(), 1

    total, _ = sum_over_anchors(weighted, projections, recordings=recordings, compare=distances)
    return loss + (total - total.detach())


def _log_nearness(anchors: Anchors, margin: float) -> torch.Tensor:
    """Logarithm of the sum of e^(margin - distance) over the negatives of each anchor, (A,)."""
    return log_sum_exp(margin - anchors.similarities, anchors.negatives())


def _positive_distances(projections: torch.Tensor) -> torch.Tensor:
    """Distances of the views of each clip, scaled to norm 1, (V (V - 1) / 2, N); the gradient at 0 is 0."""
    with torch.autocast(projections.device.type, enabled=False):
        one, other = l2_normalise(projections)[_two_views(len(projections))]
        distances: torch.Tensor = torch.linalg.vector_norm(one - other, dim=2)
        return distances


def _two_views(views: int) -> torch.Tensor:
    """All choices of two views, (2, V (V - 1) / 2)."""
    return torch.triu_indices(views, views, offset=1)
