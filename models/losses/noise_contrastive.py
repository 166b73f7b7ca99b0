"""Telling the positive from noise, the other clips of the batch: binary NCE and InfoNCE."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.pairs import cosine_similarities, mean_of, negative_rows, positive_rows


def info_nce_from_logits(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of finding the own clip among N, and how often its logit is the highest.

    Args:
        logits: (L, N, N) of L places; entry (l, n, m) is how well clip m fits clip n.

    Returns:
        Loss, scalar, ln(N) for equal logits; and the share of rows that find their clip.
    """
    own = torch.arange(logits.shape[1], device=logits.device)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), own.repeat(len(logits)))
    return loss, (logits.detach().argmax(2) == own).float().mean()


def binary_nce(
    projections: torch.Tensor, temperature: float | torch.Tensor, excluded: torch.Tensor | None = None
) -> torch.Tensor:
    """Logistic regression that tells each positive from the K negatives of its anchor.

    Gutmann and Hyvärinen, "Noise-Contrastive Estimation" (AISTATS 2010), section 2.1: -ln h of the positive and
    -ln(1 - h) of each negative. As in Mnih and Teh (ICML 2012) there are K negatives for each positive, so that h is
    the logistic function of cos / temperature - ln K, and the exponentials of the scores count as normalised: their
    mean over random directions of P dimensions is about 1 if the temperature is well above P^-0.5.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        excluded: (N, N) bool, clips that are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; `binary_chance_level(N, V)` for
        similarities of 0, the best of all constants.
    """
    views, pairs, _ = projections.shape
    scores = cosine_similarities(projections) / temperature  # (V N, V N)
    negatives = negative_rows(views, pairs, excluded, scores.device)
    log_number = negatives.sum(1, keepdim=True).clamp_min(1).log()  # (V N, 1)
    softplus = torch.nn.functional.softplus
    positive = softplus(log_number - scores.gather(1, positive_rows(views, pairs, scores.device))).mean(1)
    negative = torch.where(negatives, softplus(scores - log_number), 0).sum(1)
    return mean_of(positive + negative, negatives.any(1))


def binary_chance_level(pairs: int, views: int = 2) -> float:
    """Loss of all similarities 0 with K = V (N - 1) negatives: ln(1 + K) + K ln(1 + 1 / K)."""
    negatives = views * (pairs - 1)
    return math.log1p(negatives) + negatives * math.log1p(1 / negatives)


def info_nce(
    projections: torch.Tensor,
    temperature: float | torch.Tensor,
    symmetric: bool,
    excluded: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross entropy of finding the clip of a query among the N clips of another view.

    One direction: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), equation
    4, with the first view as query of each other view. Symmetric: the mean over all ordered pairs of views, which for
    two is the loss of CLIP (Radford et al., ICML 2021, figure 3).

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        symmetric: whether each view is a query.
        excluded: (N, N) bool, clips that are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; ln(N) for equal similarities.
    """
    views, pairs, _ = projections.shape
    logits = cosine_similarities(projections).view(views, pairs, views, pairs) / temperature
    logits = logits.transpose(1, 2)  # (V, V, N, N): query's view, key's view, query, key
    if excluded is not None:
        logits = logits.masked_fill(excluded, -math.inf)
    found = logits.log_softmax(3).diagonal(dim1=2, dim2=3)  # (V, V, N)
    of_others = ~torch.eye(views, dtype=torch.bool, device=logits.device)
    if not symmetric:
        of_others[1:] = False
    loss: torch.Tensor = -found[of_others].mean()
    return loss
