"""Time warp: one part of the view faster and the other slower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig, uniform
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

# Leaves room for a point that moves either way.
HIGHEST_WARP_SHARE = 0.4

# In frames: avoids a division by zero for a piece that the warp shrinks to nothing.
SHORTEST_PIECE = 1e-6


class TimeWarpConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A displacement drawn from -max_share to +max_share of the view; the default is a little above the
    paper's 80 frames of an utterance of some 1,200."""

    name: Literal["time_warp"] = "time_warp"
    max_share: float = Field(
        0.1, ge=0, le=HIGHEST_WARP_SHARE, description="largest displacement as a share of the view's length"
    )

    def build(self, strength: float) -> TimeWarp:
        """The augmentation at a strength."""
        return TimeWarp(self, strength)


@dataclass(frozen=True)
class TimeWarpParameters:
    """`point_frames` and `displacement_frames` (B,) float32: position and displacement of a point."""

    point_frames: torch.Tensor
    displacement_frames: torch.Tensor


class TimeWarp(SpectrogramAugmentation[TimeWarpParameters]):
    """Moves one point in time and stretches or shortens the parts before and after it; the ends stay.

    Source: Park et al. 2019 (SpecAugment), section 2.1: the point from (W, length - W), the displacement up
    to W either way. Difference: linear instead of a spline, the same for all bands.

    Args:
        config: W at strength 1.
        strength: scales W, up to 0.4 of the view.
    """

    def __init__(self, config: TimeWarpConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_share = scale_limit(config.max_share, strength, highest=HIGHEST_WARP_SHARE)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> TimeWarpParameters:
        """A point and a displacement for each example, uniform and not rounded to frames."""
        batch, device = (log_mel.shape[0],), log_mel.device
        last = log_mel.shape[2] - 1
        furthest = self.max_share * last
        point = uniform(furthest, last - furthest, batch, generator, device)
        return TimeWarpParameters(point, uniform(-furthest, furthest, batch, generator, device))

    def apply(self, log_mel: torch.Tensor, parameters: TimeWarpParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) warped, linear between frames."""
        sources = _sources(parameters, log_mel.shape[2])  # (B, T)
        before = sources.floor()
        earlier = before.long()[:, None, :].expand(log_mel.shape)
        later = (before + 1).clamp_(max=log_mel.shape[2] - 1).long()[:, None, :].expand(log_mel.shape)
        weights = (sources - before)[:, None, :]  # (B, 1, T)
        return log_mel.gather(2, earlier).lerp_(log_mel.gather(2, later), weights)


def _sources(parameters: TimeWarpParameters, frames: int) -> torch.Tensor:
    """The source position of each frame of the view, (B, T), in frames; computed from the nearer fixed end, so
    that a displacement of 0 gives exactly 0, 1, 2 and so on."""
    last = frames - 1
    point = parameters.point_frames[:, None]  # (B, 1)
    moved = point + parameters.displacement_frames[:, None]
    times = torch.arange(frames, device=point.device)
    from_start = times * (point / moved.clamp(min=SHORTEST_PIECE))
    from_end = last - (last - times) * ((last - point) / (last - moved).clamp(min=SHORTEST_PIECE))
    return torch.where(times < moved, from_start, from_end)
