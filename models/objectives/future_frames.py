"""Contrastive prediction of future frames: InfoNCE of CPC."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from echopair.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def future_frames(
    frames: torch.Tensor, predictions: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE of predicted and true future frames; candidates are the frames of all clips at the same time.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), equations 3
    (the log-bilinear score z_{t+k} W_k c_t) and 4, averaged over times t and steps k.

    Args:
        frames: (N, T', C), the features z of N clips.
        predictions: for k = 1 to K < T', (N, T' - k, C): W_k c_t, of which the one at t predicts frame t + k.

    Returns:
        The loss, scalar float32 (float64 for inputs in it); `ln(N)` for uninformative predictions. And the share of
        predictions that are most similar to the frame of their own clip.

    Raises:
        ValueError: no prediction, or as many steps as frames.
    """
    clips, count, _ = frames.shape
    if not 0 < len(predictions) < count:
        raise ValueError(f"{len(predictions)} steps cannot be predicted in {count} frames")
    own = torch.arange(clips, device=frames.device)
    with torch.autocast(frames.device.type, enabled=False):
        dtype = torch.promote_types(frames.dtype, torch.float32)
        losses, hits = [], []
        for k, predicted in enumerate(predictions, start=1):
            logits = torch.einsum(
                "ntc,mtc->tnm", predicted.to(dtype), frames[:, k:].to(dtype)
            )  # (T' - k, N, N)
            targets = own.expand(len(logits), clips).flatten()
            losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets))
            hits.append((logits.detach().argmax(2) == own).float().mean())
        return torch.stack(losses).mean(), torch.stack(hits).mean()


def chance_level(clips: int) -> float:
    """Loss when all scores are equal: ln(N) for N clips."""
    return math.log(clips)
