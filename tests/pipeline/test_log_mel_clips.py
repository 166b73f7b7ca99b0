"""Log-mels of whole clips: a crop of them is the log-mel of the crop, but for its edges."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline import log_mel_clips
from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import compose
from echopair.pipeline.corpora import Recording
from echopair.pipeline.errors import UserError
from echopair.pipeline.log_mel_clips import LogMelClips, write_log_mels
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore

CONFIG = LogMelConfig()
SAMPLES = [100, 4000, 16000, 16079, 50_000]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipStore:
    """Clips of noise with their log-mels, which were computed in parts."""
    monkeypatch.setattr(log_mel_clips, "FRAMES_AT_ONCE", 40)
    noise = np.random.default_rng(0)
    recordings = []
    for samples in SAMPLES:
        file = tmp_path / f"{samples}.wav"
        soundfile.write(file, 0.2 * noise.normal(size=samples), 16000)
        recordings.append(Recording(file, file.name, ()))
    folder = tmp_path / "store"
    folder.mkdir()
    prepare("noise", recordings, PrepareConfig(workers=1, min_seconds=0.001), 16000, folder)
    store = ClipStore(folder, 16000)
    figures = write_log_mels("noise", store, CONFIG, tmp_path)
    assert figures["frames"] == sum(max(1, samples // 160) for samples in SAMPLES)
    store.log_mels = LogMelClips(tmp_path, store, CONFIG)
    return store


def frames_of(store: ClipStore, clip: int, start: int, frames: int) -> torch.Tensor:
    """(F, T)"""
    found = np.empty((frames, CONFIG.mel_bands), dtype=np.float16)
    assert store.log_mels
    store.log_mels.read_into(found, clip, start)
    return torch.from_numpy(found).T.float()


def test_a_crop_has_the_frames_of_its_own_log_mel_but_for_its_edges(store: ClipStore) -> None:
    crop = torch.from_numpy(store.read(4, 50 * 160, 96 * 160))
    own = LogMel(CONFIG)(crop[None])[0]
    edge = CONFIG.window_samples // CONFIG.hop_samples // 2
    inside = slice(edge, -edge)
    found = frames_of(store, 4, 50, 96)
    torch.testing.assert_close(found[:, inside], own[:, inside], atol=0.01, rtol=0)
    assert not torch.allclose(found[:, 0], own[:, 0], atol=0.1)


def test_a_whole_clip_has_its_own_log_mel(store: ClipStore) -> None:
    for clip, samples in enumerate(SAMPLES[1:], start=1):
        frames = samples // 160
        own = LogMel(CONFIG)(torch.from_numpy(store.read(clip)[None, : frames * 160]))[0]
        torch.testing.assert_close(frames_of(store, clip, 0, frames), own, atol=0.01, rtol=0)


def test_a_clip_that_is_too_short_is_repeated(store: ClipStore) -> None:
    found = frames_of(store, 1, 5, 96)
    assert torch.equal(found[:, :20], frames_of(store, 1, 5, 20))
    assert torch.equal(found[:, 20:40], found[:, :20])
    assert frames_of(store, 0, 0, 96).std(dim=1).max() == 0


@pytest.mark.parametrize("more", ["waveform", "objective.name=multi_format"])
def test_what_needs_waveforms_is_refused(more: str, tmp_path: Path) -> None:
    presets, overrides = (["synthetic", more], []) if "=" not in more else (["synthetic"], [more])
    config = compose(presets, [*overrides, "crops.log_mel_of=clip", f"work_folder={tmp_path}"])
    with pytest.raises(UserError, match=r"crops\.log_mel_of=crop"):
        check(config, Stage.PRETRAIN)
