"""Synthetic crops: gliding tones in bursts over a noise floor, each crop different."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.augment.waveform.augmentation import Waveform

MakeCrop = Callable[..., Waveform]


@pytest.fixture(scope="session")
def make_crop() -> MakeCrop:
    def make(seed: int = 0, seconds: float = 0.96, rate_hz: int = 16000) -> Waveform:
        generator = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        pitch, glide, level, onset = generator.uniform((200, 0.5, 0.1, 0.1), (1200, 1.5, 0.6, 0.5))
        tone = sum(
            np.sin(2 * np.pi * pitch * number * time * (1 + glide * time / 4)) / number
            for number in range(1, 5)
        )
        burst = np.exp(-(((time / seconds - onset) / 0.15) ** 2))
        floor = generator.normal(scale=0.01, size=len(time))
        return (level * burst * tone / 2 + floor).astype(np.float32)

    return make


@pytest.fixture
def crop(make_crop: MakeCrop) -> Waveform:
    return make_crop()


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short recordings of another rate than the crops': decaying noise, of use as a background and as an echo."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(3):
        noise = np.random.default_rng(number).normal(size=11025)
        decay = np.exp(-np.arange(11025) / (1000 * (number + 1)))
        soundfile.write(folder / f"sound-{number}.wav", 0.3 * noise * decay, 22050)
    return folder
