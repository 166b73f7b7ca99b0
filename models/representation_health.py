"""What the contrastive loss does not tell: whether representations are aligned, spread out or collapsed."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def representation_health(embeddings: Tensor, projections: Tensor) -> dict[str, float]:
    """Figures of one batch that tell learning, chance and collapse apart.

    Args:
        embeddings: (2, N, D), first and second view of N >= 2 clips.
        projections: (2, N, P) of the same views.

    Returns:
        - retrieval_top1: share of projections nearest to their own positive; chance 1 / (2 N - 1).
        - alignment: mean squared distance of positives on the unit sphere, 0 (best) to 4, and
        - uniformity: log of the mean Gaussian potential, 0 (collapsed) downwards
          (Wang and Isola, ICML 2020, section 4.1, alpha = 2, t = 2), both of the projections.
        - effective_rank: exponential of the entropy of the embeddings' singular values, 1 to D
          (Roy and Vetterli, EUSIPCO 2007, equation 3; centred).
        - embedding_spread: deviation of the unit-norm embeddings a dimension, times sqrt(D): 0 collapsed,
          1 spread over the sphere (Chen and He, "SimSiam", CVPR 2021, section 4.1).
    """
    z = F.normalize(projections.float(), dim=2)
    first, second = z
    pairs = first.shape[0]
    both = z.flatten(0, 1)  # (2N, P)
    similarity = both @ both.T
    distances = (2 - 2 * similarity).clamp_min(0)
    off_diagonal = ~torch.eye(2 * pairs, dtype=torch.bool, device=z.device)
    similarity.fill_diagonal_(-math.inf)
    positives = torch.arange(2 * pairs, device=z.device).roll(pairs)

    h = embeddings.float().flatten(0, 1)  # (2N, D)
    singular_values = torch.linalg.svdvals(h - h.mean(0))
    shares = singular_values / singular_values.sum().clamp_min(1e-12)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum()
    unit = F.normalize(h, dim=1)
    return {
        "retrieval_top1": (similarity.argmax(1) == positives).float().mean().item(),
        "alignment": (first - second).square().sum(1).mean().item(),
        "uniformity": distances[off_diagonal].mul(-2).exp().mean().log().item(),
        "effective_rank": entropy.exp().item(),
        "embedding_spread": (unit.std(0).mean() * math.sqrt(h.shape[1])).item(),
    }
