"""Which projections of a batch are positives and negatives of each other, and how near they are.

A row is one projection: the N clips of the first view, then those of the second one, and so on.
"""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.normalise import l2_normalise

LOWEST = -1e30  # in place of log(0), for an empty sum; -inf would make gradients NaN


def cosine_similarities(projections: torch.Tensor) -> torch.Tensor:
    """Cosine similarities (V N, V N) of projections (V, N, P) of any norm, in float32 at least, also under autocast."""
    with torch.autocast(projections.device.type, enabled=False):
        z = l2_normalise(projections.flatten(0, 1))  # (V N, P)
        return z @ z.T


def distances(projections: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (V N, V N) of projections (V, N, P), scaled to norm 1; the gradient at 0 is 0.

    In float32 at least, also under autocast. From differences, since 2 - 2 cos is not exact near 0.
    """
    with torch.autocast(projections.device.type, enabled=False):
        z = l2_normalise(projections.flatten(0, 1))  # (V N, P)
        return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def positive_rows(views: int, pairs: int, device: torch.device) -> torch.Tensor:
    """The rows of the other views of each row's clip, (V N, V - 1)."""
    rows = torch.arange(views * pairs, device=device)
    return torch.stack([rows.roll(view * pairs) for view in range(1, views)], dim=1)


def negative_rows(
    views: int, pairs: int, excluded: torch.Tensor | None, device: torch.device
) -> torch.Tensor:
    """Which rows are negatives of each row, (V N, V N) bool: those of other clips.

    Args:
        views: V.
        pairs: N.
        excluded: (N, N) bool, clips that are no negatives of each other; None if there are none.
        device: of the result.
    """
    other = ~torch.eye(pairs, dtype=torch.bool, device=device)
    if excluded is not None:
        other &= ~excluded
    return other.repeat(views, views)


def same_recording(recordings: torch.Tensor) -> torch.Tensor:
    """Which clips are cut from one recording: (N, N) bool from its number (N,), a clip and itself left out."""
    same = recordings.unsqueeze(1) == recordings
    return same.fill_diagonal_(False)


def log_sum_exp(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum of exponentials of the chosen values of each row; about -1e30 where none is.

    Args:
        values: (R, S).
        chosen: (R, S) bool.
    """
    return values.masked_fill(~chosen, LOWEST).logsumexp(1)


def mean_of(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean of the chosen values; 0 if none is chosen.

    Args:
        values: of any shape.
        chosen: bool, of a shape that broadcasts to it.
    """
    chosen = chosen.expand_as(values)
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)
