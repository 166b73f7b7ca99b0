"""Shifts along one axis, as the time shift and the frequency shift draw them."""

from __future__ import annotations

from echopair.augment.spectrogram.augmentation import uniform
from echopair.lazy import torch

# A shift of half an axis leaves half of the view in sight; more would leave less than it hides.
HIGHEST_SHIFT_SHARE = 0.5


def draw_shifts(
    max_share: float, log_mel: torch.Tensor, axis: int, generator: torch.Generator
) -> torch.Tensor:
    """A shift for each example, (B,) int64: uniform either way, rounded to whole bins.

    Whole bins: values between two bins would be averages, and their smoothness a mark of shifted views.

    Args:
        max_share: largest shift as a share of the axis, 0 to 0.5.
        log_mel: (B, F, T); only its shape and device matter.
        axis: 1 for shifts over bands, 2 for shifts over frames.
        generator: decides the shifts.
    """
    max_bins = max_share * log_mel.shape[axis]
    bins = uniform(-max_bins, max_bins, (log_mel.shape[0],), generator, log_mel.device)
    return bins.round_().long()
