"""What a loss does not show: whether representations are aligned, spread out or collapsed."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.blocks import sum_over_blocks

COLLAPSED_UNIFORMITY = -0.05
COLLAPSED_RANK = 1.5


def representation_health(embeddings: torch.Tensor, projections: torch.Tensor) -> dict[str, float]:
    """Metrics of one batch that tell learning, chance and collapse apart.

    Args:
        embeddings: (V, N, D) of N >= 2 clips, without a gradient.
        projections: (V, N, P), V >= 2 views of the same clips, without a gradient.

    Returns:
        - retrieval_top1: share of projections whose nearest is a view of the same clip, and
        - retrieval_top1_chance_level: (V - 1) / (V N - 1).
        - alignment: mean squared distance of positives on the unit sphere, 0 (best) to 4, and
        - uniformity: log of the mean Gaussian potential, 0 (collapsed) downwards
          (Wang and Isola, ICML 2020, section 4.1, alpha = 2, t = 2), both of the projections.
        - effective_rank: of the embeddings.
        - embedding_spread: deviation of the unit-norm embeddings a dimension, times sqrt(D): 0 collapsed,
          1 spread over the sphere (Chen and He, "SimSiam", CVPR 2021, section 4.1).
    """
    views, pairs, _ = projections.shape
    z = torch.nn.functional.normalize(projections.float(), dim=2)
    flat = z.flatten(0, 1)  # (V N, P)

    def potentials_and_hits(
        rows: torch.Tensor, similarity: torch.Tensor, _: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        potentials = (2 - 2 * similarity).clamp_min(0).mul(-2).exp()
        total = potentials.scatter_(1, rows.unsqueeze(1), 0).sum(dtype=torch.float64)
        nearest = similarity.scatter_(1, rows.unsqueeze(1), -math.inf).argmax(1)
        return total, (nearest % pairs == rows % pairs).sum()

    potential, hits = sum_over_blocks(potentials_and_hits, flat, flat)
    size = views * pairs
    one, other = torch.triu_indices(views, views, offset=1, device=z.device)  # every two views once

    h = embeddings.float().flatten(0, 1)  # (V N, D)
    unit = torch.nn.functional.normalize(h, dim=1)
    return {
        "retrieval_top1": int(hits) / size,
        "retrieval_top1_chance_level": (views - 1) / (size - 1),
        "alignment": (z[one] - z[other]).square().sum(2).mean().item(),
        "uniformity": math.log(potential.item() / (size * (size - 1))),
        "effective_rank": effective_rank(h),
        "embedding_spread": (unit.std(0).mean() * math.sqrt(h.shape[1])).item(),
    }


def effective_rank(vectors: torch.Tensor) -> float:
    """Exponential of the entropy of the singular values of centred vectors.

    Args:
        vectors: (B, D) float32.

    Returns:
        1 (along one line; also if all are equal) to the smaller of B and D.

    Source: Roy and Vetterli, The Effective Rank, EUSIPCO 2007, equation 3.
    """
    singular_values = torch.linalg.svdvals(vectors - vectors.mean(0))
    shares = singular_values / singular_values.sum().clamp_min(1e-12)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum()
    return float(entropy.exp())


def describe_collapse(metrics: dict[str, float]) -> str | None:
    """The metrics that show all projections in one place, or embeddings along one line; None if none does.

    Args:
        metrics: those of `representation_health`.
    """
    if metrics["uniformity"] > COLLAPSED_UNIFORMITY or metrics["effective_rank"] < COLLAPSED_RANK:
        return f"effective rank {metrics['effective_rank']:.1f}, uniformity {metrics['uniformity']:.2f}"
    return None
