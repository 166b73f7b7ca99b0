from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.corpora import Recording
from echopair.pipeline.embed import EmbedConfig, Embeddings, embed, mel_statistics
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore
from tests.pipeline.conftest import audio_encoder

SECONDS = (0.2, 5, 60)
RATES = (8000, 44100, 48000)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """A sweep with echoes in noise, of every length at every rate."""
    folder = tmp_path_factory.mktemp("lengths")
    generator = np.random.default_rng(0)
    found = []
    for seconds in SECONDS:
        for rate in RATES:
            time = np.arange(round(seconds * rate)) / rate
            waveform = (
                0.4 * np.sin(2 * np.pi * (300 + 200 * np.sin(time)) * time) * (1 + np.sin(9 * time)) / 2
            )
            waveform += 0.02 * generator.normal(size=len(time))
            path = folder / f"{seconds}-{rate}.flac"
            soundfile.write(path, waveform, rate, subtype="PCM_24")
            found.append(Recording(path, path.name))
    return found


@pytest.fixture(scope="module")
def lengths(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder = tmp_path_factory.mktemp("store")
    prepare("lengths", recordings, PrepareConfig(), 16000, folder)
    return ClipStore(folder, 16000)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("auto", 2e-2)])
def test_a_recording_embeds_as_the_stage_embeds_its_clip(
    recordings: list[Recording], lengths: ClipStore, precision: str, tolerance: float
) -> None:
    """Through int16 clips, other batches and streamed resampling: the distance is relative to the embedding's norm."""
    encoder = audio_encoder(precision)
    stored = embed(lengths, encoder, EmbedConfig(), "lengths").values
    for recording, expected in zip(recordings, torch.from_numpy(stored), strict=True):
        waveform, rate = soundfile.read(recording.path, dtype="float32")
        embedding = encoder.embed(waveform, sample_rate_hz=rate)
        distance = (embedding - expected).norm() / expected.norm()
        assert distance < tolerance, f"{recording.name}: {distance:.2e}"


@pytest.mark.parametrize("batch_crops", [1, 7])
def test_the_batch_changes_nothing(lengths: ClipStore, batch_crops: int) -> None:
    encoder = audio_encoder()
    one = embed(lengths, encoder, EmbedConfig(batch_crops=batch_crops), "").values
    np.testing.assert_allclose(one, embed(lengths, encoder, EmbedConfig(), "").values, rtol=1e-3, atol=1e-4)


def test_some_clips_embed_as_all_do_and_in_silence(
    lengths: ClipStore, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = audio_encoder()
    every = embed(lengths, encoder, EmbedConfig(), "").values
    capfd.readouterr()
    some = embed_clips(lengths, np.array([4, 0, 3]), encoder, batch_crops=5)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_allclose(some, every[[4, 0, 3]], rtol=1e-3, atol=1e-4)


def test_the_threads_change_nothing(lengths: ClipStore) -> None:
    encoder = audio_encoder()
    found = []
    for threads in (1, 3):
        with cpu_threads(threads):
            found.append(embed_clips(lengths, np.arange(len(lengths)), encoder, batch_crops=5))
            assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(*found)


def test_mel_statistics_are_means_and_deviations_over_time(store: ClipStore) -> None:
    log_mel = LogMel(LogMelConfig())
    values = mel_statistics(store, log_mel, "").values
    assert values.shape == (len(store), 128)
    frames = log_mel(torch.from_numpy(store.read(5))[None])[0].numpy()  # (F, T)
    np.testing.assert_allclose(
        values[5], np.concatenate([frames.mean(1), frames.std(1)]), rtol=1e-4, atol=1e-3
    )


def test_embeddings_are_kept_with_the_clips_they_are_of(store: ClipStore, tmp_path: Path) -> None:
    embeddings = mel_statistics(store, LogMel(LogMelConfig()), "")
    digest = embeddings.save(tmp_path)
    loaded = Embeddings.load(tmp_path)
    np.testing.assert_array_equal(loaded.values, embeddings.values)
    assert loaded.clips.tolist() == store.manifest["samples_sha256"].to_pylist()
    assert Embeddings(embeddings.values + 1, embeddings.clips).save(tmp_path) != digest
