"""Blur: edges in time and frequency smoothed, as by echoes or a coarser analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig, uniform
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

HIGHEST_DEVIATION_BINS = 4.0

# The kernel ends at three deviations, where the Gaussian is a hundredth of its height.
DEVIATIONS_PER_SIDE = 3.0

# So narrow that every tap but the middle one is 0 in float32: used for a deviation of 0.
NARROWEST_DEVIATION_BINS = 0.05

# Smaller taps add nothing in float32; denormal ones make a CPU several times slower.
SMALLEST_TAP = 1e-9


class BlurConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Standard deviations drawn from 0 to a limit, independently for each axis.

    The defaults are near SimCLR's (Chen et al. 2020, appendix A): at most 2 pixels of 224, that is 0.6 bands
    of 64 or 0.9 frames of 96.
    """

    name: Literal["blur"] = "blur"
    max_deviation_bands: float = Field(
        1.0, ge=0, le=HIGHEST_DEVIATION_BINS, description="largest standard deviation over frequency in bands"
    )
    max_deviation_frames: float = Field(
        1.0, ge=0, le=HIGHEST_DEVIATION_BINS, description="largest standard deviation over time in frames"
    )

    def build(self, strength: float) -> Blur:
        """The augmentation at a strength."""
        return Blur(self, strength)


@dataclass(frozen=True)
class BlurParameters:
    """`deviation_bands` and `deviation_frames` (B,): standard deviations of each example's Gaussian."""

    deviation_bands: torch.Tensor
    deviation_frames: torch.Tensor


class Blur(SpectrogramAugmentation[BlurParameters]):
    """Smooths the log-mel by a Gaussian over bands and one over frames; edges are padded by repetition.

    Source: the code of Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event
    Representations). Difference: here the deviation is drawn, there the size of the kernel.

    Args:
        config: the ranges of the deviations at strength 1.
        strength: scales the ranges, up to 4 bins.
    """

    def __init__(self, config: BlurConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_deviation_bands = scale_limit(
            config.max_deviation_bands, strength, highest=HIGHEST_DEVIATION_BINS
        )
        self.max_deviation_frames = scale_limit(
            config.max_deviation_frames, strength, highest=HIGHEST_DEVIATION_BINS
        )

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> BlurParameters:
        """Two deviations for each example, uniform."""
        batch, device = (log_mel.shape[0],), log_mel.device
        return BlurParameters(
            uniform(0, self.max_deviation_bands, batch, generator, device),
            uniform(0, self.max_deviation_frames, batch, generator, device),
        )

    def apply(self, log_mel: torch.Tensor, parameters: BlurParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) blurred."""
        batch = log_mel.shape[0]
        # Each example is a channel with its own kernel. At least two channels: for a single one torch uses another
        # convolution, which rounds differently, on a GPU to the ten bits of TF32.
        channels = max(batch, 2)
        over_bands = _kernels(parameters.deviation_bands, self.max_deviation_bands, channels)  # (C, K)
        over_frames = _kernels(parameters.deviation_frames, self.max_deviation_frames, channels)
        below, before = over_bands.shape[1] // 2, over_frames.shape[1] // 2
        examples = log_mel.expand(channels, -1, -1)[None]  # (1, C, F, T)
        padded = torch.nn.functional.pad(examples, (before, before, below, below), mode="replicate")
        blurred = torch.nn.functional.conv2d(padded, over_frames[:, None, None, :], groups=channels)
        return torch.nn.functional.conv2d(blurred, over_bands[:, None, :, None], groups=channels)[0, :batch]


def _kernels(deviations: torch.Tensor, max_deviation: float, channels: int) -> torch.Tensor:
    """Gaussians that sum to 1, (C, K), K odd and the same for all, wide enough for the widest."""
    side = math.ceil(DEVIATIONS_PER_SIDE * max_deviation)
    bins = torch.arange(-side, side + 1, device=deviations.device)
    distances = bins / deviations.clamp(min=NARROWEST_DEVIATION_BINS)[:, None]  # (B, K)
    kernels = torch.nn.functional.hardshrink(torch.softmax(-0.5 * distances**2, dim=1), SMALLEST_TAP)
    return kernels.expand(channels, -1)
