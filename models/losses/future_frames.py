"""Contrastive prediction of future frames: InfoNCE of CPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopair.lazy import torch
from echopair.models.losses.noise_contrastive import info_nce_of_own
from echopair.models.losses.normalise import at_least_float32

if TYPE_CHECKING:
    from collections.abc import Sequence


def future_frames(
    frames: torch.Tensor, predictions: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE of predicted and true future frames among the frames of all clips at all predicted times.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), equations 3
    (the log-bilinear score z_{t+k} W_k c_t) and 4, averaged over times t and steps k. The negatives come from the same
    sequence and from others ("mixed" in table 2).

    Args:
        frames: (N, T', C), the features z of N clips.
        predictions: for k = 1 to K < T', (N, T' - k, C): W_k c_t, of which the one at t predicts frame t + k.

    Returns:
        The loss, scalar float32 (float64 for inputs in it); the mean over k of `ln(N (T' - k))` for uninformative
        predictions. And the share of predictions that are most similar to their own frame.

    Raises:
        ValueError: no prediction, or as many steps as frames.
    """
    count = frames.shape[1]
    if not 0 < len(predictions) < count:
        raise ValueError(f"{len(predictions)} steps cannot be predicted in {count} frames")
    with torch.autocast(frames.device.type, enabled=False):
        frames = at_least_float32(frames)
        found = [
            info_nce_of_own(at_least_float32(predicted).flatten(0, 1), frames[:, k:].flatten(0, 1))
            for k, predicted in enumerate(predictions, start=1)
        ]
    losses, accuracies = zip(*found, strict=True)
    return torch.stack(losses).mean(), torch.stack(accuracies).mean()
