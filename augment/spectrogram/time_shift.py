"""Time shift: the view earlier or later, so that embeddings do not depend on when a sound begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig
from echopair.augment.spectrogram.shifting import HIGHEST_SHIFT_SHARE, draw_shifts
from echopair.augment.strength import scale_limit
from echopair.lazy import torch


class TimeShiftConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A shift drawn from -max_share to +max_share of the frames; the default is near the 30 of 101 frames in
    the code of Fonseca et al. 2021."""

    name: Literal["time_shift"] = "time_shift"
    max_share: float = Field(
        0.25, ge=0, le=HIGHEST_SHIFT_SHARE, description="largest shift as a share of the frames"
    )

    def build(self, strength: float) -> TimeShift:
        """The augmentation at a strength."""
        return TimeShift(self, strength)


@dataclass(frozen=True)
class TimeShiftParameters:
    """`shift_frames` (B,) int64: frames by which each example moves to later times, or back if negative."""

    shift_frames: torch.Tensor


class TimeShift(SpectrogramAugmentation[TimeShiftParameters]):
    """Moves an example along time and fills the open end by reflection.

    Reflection leaves no seam: neighbouring frames of the view are neighbours in the clip. A roll would put the
    last frame before the first, an artificial onset; filling with the mean would begin with a step. Source: the
    code of Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event Representations), which rolls.

    Args:
        config: the range of shifts at strength 1.
        strength: scales the range, up to half of the frames.
    """

    def __init__(self, config: TimeShiftConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_share = scale_limit(config.max_share, strength, highest=HIGHEST_SHIFT_SHARE)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> TimeShiftParameters:
        """A shift for each example, in whole frames."""
        return TimeShiftParameters(draw_shifts(self.max_share, log_mel, axis=2, generator=generator))

    def apply(self, log_mel: torch.Tensor, parameters: TimeShiftParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) shifted; reflected at the first or the last frame, which is not repeated."""
        last = log_mel.shape[2] - 1
        sources = torch.arange(last + 1, device=log_mel.device) - parameters.shift_frames[:, None]  # (B, T)
        reflected = last - (last - sources.abs()).abs()
        return log_mel.gather(2, reflected[:, None, :].expand(log_mel.shape))
