"""Losses on pairs of projections with a margin: the contrastive pair loss and the lifted structured loss."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.pairs import distances, log_sum_exp, mean_of, negative_rows, positive_rows


def contrastive_pairs(
    projections: torch.Tensor, margin: float, excluded: torch.Tensor | None = None
) -> torch.Tensor:
    """Positives attract each other; negatives repel each other as long as they are nearer than the margin.

    Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping" (CVPR 2006), equation 4,
    for all pairs of a batch: D^2 / 2 of positives and max(0, margin - D)^2 / 2 of negatives, D the distance of the
    projections scaled to norm 1. The mean over positives and that over negatives are added, since a batch has N - 1
    times as many negatives. Chopra, Hadsell and LeCun (CVPR 2005) introduced it, with another penalty of negatives.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        margin: above 0; distances are 2 at most.
        excluded: (N, N) bool, clips that are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast.
    """
    views, pairs, _ = projections.shape
    apart = distances(projections)  # (V N, V N)
    positive = apart.gather(1, positive_rows(views, pairs, apart.device)).square().mean()
    lacking = (margin - apart).relu().square()
    return 0.5 * (positive + mean_of(lacking, negative_rows(views, pairs, excluded, apart.device)))


def lifted_structure(
    projections: torch.Tensor, margin: float, excluded: torch.Tensor | None = None
) -> torch.Tensor:
    """Each positive pair against all negatives of both of its projections, near ones most.

    Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding" (CVPR 2016), equation 4, with the
    distances of projections scaled to norm 1.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        margin: above 0.
        excluded: (N, N) bool, clips that are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast.
    """
    views, pairs, _ = projections.shape
    apart = distances(projections)  # (V N, V N)
    others = positive_rows(views, pairs, apart.device)  # (V N, V - 1)
    near = log_sum_exp(margin - apart, negative_rows(views, pairs, excluded, apart.device))  # (V N,)
    of_both = torch.logaddexp(near.unsqueeze(1), near[others])  # (V N, V - 1)
    return 0.5 * (of_both + apart.gather(1, others)).relu().square().mean()
