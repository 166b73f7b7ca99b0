"""Telling the positive from noise, the other clips of the batch: binary NCE and InfoNCE."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.anchors import Anchors, mean_over_anchors, sum_of
from echopair.models.losses.blocks import sum_over_blocks


def info_nce_of_own(
    queries: torch.Tensor, keys: torch.Tensor, temperature: float | torch.Tensor = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of finding the own key of each query among all keys, and how often it is the nearest one.

    Args:
        queries: (N, P).
        keys: (N, P), of which row n belongs to query n.
        temperature: above 0, divides the inner products; a scalar tensor has a gradient.

    Returns:
        Loss, scalar, ln(N) for equal inner products; and the share of queries that find their key.
    """

    def losses(
        rows: torch.Tensor, products: torch.Tensor, temperature: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = torch.nn.functional.cross_entropy(products / temperature, rows, reduction="sum")
        return loss, (products.detach().argmax(1) == rows).sum()

    total, found = sum_over_blocks(losses, queries, keys, temperature)
    return total / len(queries), torch.as_tensor(found / len(queries))


def binary_nce(
    projections: torch.Tensor, temperature: float | torch.Tensor, recordings: torch.Tensor | None = None
) -> torch.Tensor:
    """Logistic regression that tells each positive from the K negatives of its anchor.

    Gutmann and Hyvärinen, "Noise-Contrastive Estimation" (AISTATS 2010), section 2.1: -ln h of the positive and
    -ln(1 - h) of each negative. As in Mnih and Teh (ICML 2012) there are K negatives for each positive, so that h is
    the logistic function of cos / temperature - ln K, and the exponentials of the scores count as normalised: their
    mean over random directions of P dimensions is about 1 if the temperature is well above P^-0.5.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; `binary_chance_level(N, V)` for
        similarities of 0, the best of all constants.
    """

    def losses(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        scores, negatives = anchors.logits, anchors.negatives()
        log_number = negatives.sum(1, keepdim=True).clamp_min(1).log()  # (A, 1)
        softplus = torch.nn.functional.softplus
        positive = softplus(log_number - scores.gather(1, anchors.positives())).mean(1)
        negative = torch.where(negatives, softplus(scores - log_number), 0).sum(1)
        return sum_of(positive + negative, negatives.any(1))

    return mean_over_anchors(losses, projections, temperature, recordings)


def binary_chance_level(pairs: int, views: int = 2) -> float:
    """Loss of all similarities 0 with K = V (N - 1) negatives: ln(1 + K) + K ln(1 + 1 / K)."""
    negatives = views * (pairs - 1)
    return math.log1p(negatives) + negatives * math.log1p(1 / negatives)


def info_nce(
    projections: torch.Tensor,
    temperature: float | torch.Tensor,
    symmetric: bool,
    recordings: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross entropy of finding the clip of a query among the N clips of another view.

    One direction: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), equation
    4, with the first view as query of each other view. Symmetric: the mean over all ordered pairs of views, which for
    two is the loss of CLIP (Radford et al., ICML 2021, figure 3).

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        symmetric: whether each view is a query.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; ln(N) for equal similarities.
    """

    def losses(anchors: Anchors) -> tuple[torch.Tensor, int]:
        excluded, clips = anchors.excluded(), anchors.clips
        logits = anchors.logits.view(-1, anchors.views, anchors.pairs)  # (A, V, N)
        if excluded is not None:
            logits = logits.masked_fill(excluded.unsqueeze(1), -math.inf)
        own = clips[:, None, None].expand(-1, anchors.views, 1)
        found = logits.log_softmax(2).gather(2, own).squeeze(2)  # (A, V)
        views = torch.arange(anchors.views, device=clips.device)
        of_others = (anchors.rows // anchors.pairs).unsqueeze(1) != views
        return -found[of_others].sum(), len(clips) * (anchors.views - 1)

    return mean_over_anchors(losses, projections, temperature, recordings, views=None if symmetric else 1)
