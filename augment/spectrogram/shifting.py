"""The random draw of shifts along one axis, for time shift and frequency shift."""

from __future__ import annotations

from echopair.augment.spectrogram.augmentation import uniform
from echopair.lazy import torch

# A shift of half an axis keeps half of the view.
HIGHEST_SHIFT_SHARE = 0.5


def draw_shifts(
    max_share: float, log_mel: torch.Tensor, axis: int, generator: torch.Generator
) -> torch.Tensor:
    """A shift for each example, (B,) int64: uniform in both directions, rounded to whole bins.

    Whole bins: interpolated values would be smoother, by which an encoder could recognise shifted views.

    Args:
        max_share: largest shift as a share of the axis, 0 to 0.5.
        log_mel: (B, F, T); only its shape and device matter.
        axis: 1 for shifts over bands, 2 for shifts over frames.
        generator: source of the shifts.
    """
    max_bins = max_share * log_mel.shape[axis]
    bins = uniform(-max_bins, max_bins, (log_mel.shape[0],), generator, log_mel.device)
    return bins.round_().long()
