"""A small clip store of tones, made by the real stage, and a small encoder."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echopair import AudioEncoder
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.corpora import Recording
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore

RATE = 16000
CLIPS = 24


def write_tones(folder: Path, clips: int = CLIPS, seed: int = 0) -> list[Recording]:
    """Recordings of two classes, low and high tones in noise, of 0.3 to 2 s, in three folds."""
    generator = np.random.default_rng(seed)
    recordings = []
    for clip in range(clips):
        label = "low" if clip % 2 == 0 else "high"
        seconds = generator.uniform(0.3, 2.0)
        time = np.arange(round(seconds * RATE)) / RATE
        pitch = generator.uniform(200, 400) if label == "low" else generator.uniform(2000, 4000)
        waveform = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * generator.normal(size=len(time))
        path = folder / f"{label}-{clip:03d}.wav"
        soundfile.write(path, waveform, RATE)
        recordings.append(
            Recording(path, path.name, (label,), fold=str(clip // 2 % 3 + 1), group=f"source {clip // 4}")
        )
    return recordings


def audio_encoder(precision: str = "float32") -> AudioEncoder:
    """A small encoder with random weights, the same each time."""
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=ResNetConfig(width=8),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    return AudioEncoder(config, device="cpu", precision=precision)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `audio_encoder`."""
    folder = tmp_path_factory.mktemp("encoder")
    audio_encoder().save(folder)
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def store(tones: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder = tmp_path_factory.mktemp("store")
    prepare("tones", tones, PrepareConfig(), RATE, folder)
    return ClipStore(folder, RATE)
