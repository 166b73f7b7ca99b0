"""Log-mels of synthetic clips: gliding tones over a noise floor, each clip different."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

MakeLogMel = Callable[..., Tensor]


@pytest.fixture
def make_log_mel() -> MakeLogMel:
    def make(batch: int = 16, bands: int = 64, frames: int = 96, seed: int = 0) -> Tensor:
        generator = Generator().manual_seed(seed)
        tone, glide, level = torch.rand(3, batch, 1, 1, generator=generator)
        time = torch.linspace(0, 1, frames)
        centre = bands * (0.2 + 0.5 * tone + 0.2 * (glide - 0.5) * time)  # (B, 1, T)
        ridge = torch.exp(-0.5 * ((torch.arange(bands)[:, None] - centre) / 2.0) ** 2)  # (B, F, T)
        bursts = 0.1 + torch.sin(2 * torch.pi * (1 + 3 * glide) * time) ** 2
        floor = 1e-3 * torch.rand(batch, bands, frames, generator=generator)
        return torch.log((1 + 9 * level) * ridge * bursts + floor + 1e-5)

    return make


@pytest.fixture
def log_mel(make_log_mel: MakeLogMel) -> Tensor:
    return make_log_mel()
