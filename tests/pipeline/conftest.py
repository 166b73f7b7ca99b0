"""A small clip store of tones, made by the real stage."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

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


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def store(tones: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder = tmp_path_factory.mktemp("store")
    prepare("tones", tones, PrepareConfig(), RATE, folder)
    return ClipStore(folder, RATE)
