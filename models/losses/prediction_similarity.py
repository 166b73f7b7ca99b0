"""What BYOL and SimSiam maximise: the cosine similarity of a view's prediction and another view's target."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.normalise import l2_normalise


def prediction_similarity(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cosine similarity of predictions and targets, over all ordered pairs of two different views.

    SimSiam's loss is its negative: Chen and He, "Exploring Simple Siamese Representation Learning" (CVPR 2021),
    equations 1 and 2. BYOL's, 2 - 2 of it, is the mean of the two directions of Grill et al., "Bootstrap Your Own
    Latent" (NeurIPS 2020), equation 2.

    Args:
        predictions: (V, N, P), V >= 2 views, of any norm.
        targets: (V, N, P), of any norm.

    Returns:
        Scalar float32, also under autocast.
    """
    with torch.autocast(predictions.device.type, enabled=False):
        cosines = torch.einsum("unp,vnp->uvn", l2_normalise(predictions), l2_normalise(targets))  # (V, V, N)
        return _of_other_views(cosines).mean()


def similarity_to_other_clips(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same with the targets of all other clips: what predictions reach that tell no clip from another.

    Args:
        predictions: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        targets: (V, N, P), of any norm.

    Returns:
        Scalar float32.
    """
    p, t = l2_normalise(predictions), l2_normalise(targets)
    own = torch.einsum("unp,vnp->uv", p, t)
    every = p.sum(1) @ t.sum(1).T  # (V, V)
    pairs = p.shape[1]
    return _of_other_views(every - own).mean() / (pairs * (pairs - 1))


def _of_other_views(values: torch.Tensor) -> torch.Tensor:
    """The entries (V, V, ...) of two different views."""
    return values[~torch.eye(len(values), dtype=torch.bool, device=values.device)]
