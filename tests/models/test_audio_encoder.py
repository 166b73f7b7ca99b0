import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from echopair import AudioEncoder
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import (
    AnyEncoderConfig,
    CrnnConfig,
    ResNetConfig,
    SampleCnnConfig,
    VggLikeConfig,
)
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.resample import resample
from echopair.models.waveforms import waveforms

CONFIG = AudioEncoderConfig(
    log_mel=LogMelConfig(),
    log_mel_mean=-9.0,
    log_mel_standard_deviation=3.0,
    encoder=ResNetConfig(width=8),
    crop_seconds=0.96,
    crop_hop_seconds=0.48,
)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(CONFIG, device="cpu", precision="float32")


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * rate))).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.001, 0.2, 0.96, 5, 61])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_any_length_and_rate(encoder: AudioEncoder, seconds: float, rate: int) -> None:
    embedding = encoder.embed(noise(seconds, rate), sample_rate_hz=rate)
    assert embedding.shape == (encoder.embedding_dim,)
    assert embedding.dtype == torch.float32
    assert embedding.isfinite().all()


def test_a_batch_is_each_recording_alone(encoder: AudioEncoder) -> None:
    batch = np.stack([noise(2, 44100, seed) for seed in range(3)])
    together = encoder.embed(batch, sample_rate_hz=44100)
    assert together.shape == (3, encoder.embedding_dim)
    torch.testing.assert_close(together[1], encoder.embed(torch.from_numpy(batch[1]), 44100))


def test_is_mean_and_maximum_over_the_crops(encoder: AudioEncoder) -> None:
    waveform = noise(2, 16000)
    starts = [0, 7680, 15360, 32000 - 15360]
    apart = torch.arange(len(starts)), torch.zeros(len(starts), dtype=torch.int64)
    crops = encoder.embed_crops(torch.from_numpy(np.stack([waveform[s : s + 15360] for s in starts])), *apart)
    torch.testing.assert_close(encoder.embed(waveform, 16000), torch.cat([crops.mean(0), crops.amax(0)]))


def test_integers_are_scaled_by_their_range(encoder: AudioEncoder) -> None:
    integers = (noise(1, 16000) * 32768).astype(np.int16)
    torch.testing.assert_close(encoder.embed(integers, 16000), encoder.embed(integers / 32768.0, 16000))


def test_training_mode_does_not_last(encoder: AudioEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    assert not any(module.training for module in AudioEncoder.load(tmp_path).modules())


def test_saved_and_loaded_is_bit_equal(encoder: AudioEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    assert sorted(file.name for file in (tmp_path / "encoder").iterdir()) == [
        "encoder.json",
        "encoder.safetensors",
    ]
    loaded = AudioEncoder.load(tmp_path / "encoder", device="cpu", precision="float32")
    assert loaded.config == CONFIG
    waveform = noise(3, 22050)
    assert torch.equal(loaded.embed(waveform, 22050), encoder.embed(waveform, 22050))


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
        (np.array(["a"]), "of type"),
        (np.ones(16000, np.int64), "of type int64"),
        ([1, 2, 3], "of type int64"),
        (np.ones(16000) * 20000.0, "far above the full scale"),
        ([], r"shape \(0,\)"),
    ],
)
def test_what_is_no_waveform_is_refused(encoder: AudioEncoder, waveform: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.embed(waveform, 16000)


def test_an_hour_of_integers_is_converted_without_a_copy_in_float64() -> None:
    hour = np.zeros(3600 * 1000, dtype=np.int16)
    tracemalloc.start()
    ((waveform, _),) = waveforms(hour, 1000, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert waveform.nbytes <= peak < 1.1 * waveform.nbytes


@pytest.mark.parametrize("rate", [0, 999, 44100.5, float("nan"), 10**9, None])
def test_an_impossible_rate_is_refused(encoder: AudioEncoder, rate: int | None) -> None:
    with pytest.raises(ValueError, match="sample_rate_hz"):
        encoder.embed(noise(1, 16000), rate)


def test_channels_are_averaged_only_where_they_are_named(encoder: AudioEncoder) -> None:
    stereo = np.stack([noise(1, 16000), noise(1, 16000, 1)], axis=1)  # as soundfile returns it
    expected = encoder.embed(stereo.mean(axis=1), 16000)
    assert torch.equal(encoder.embed(stereo, 16000, channels="last"), expected)
    assert torch.equal(encoder.embed(stereo.T, 16000, channels="first"), expected)
    assert torch.equal(encoder.embed([stereo], 16000, channels="last")[0], expected)
    with pytest.raises(ValueError, match="give channels='last'"):
        encoder.embed(stereo, 16000)
    with pytest.raises(ValueError, match="needs channels="):
        encoder.embed([stereo], 16000)
    with pytest.raises(ValueError, match="more than 1024 of them"):
        encoder.embed(stereo, 16000, channels="first")


def test_files_and_lists_of_any_lengths(encoder: AudioEncoder, tmp_path: Path) -> None:
    arrays = [noise(0.3, 8000), noise(2, 8000, 1)]
    for number, array in enumerate(arrays):
        soundfile.write(tmp_path / f"{number}.wav", array, 8000, subtype="FLOAT")
    paths = [tmp_path / "0.wav", str(tmp_path / "1.wav")]
    together = encoder.embed(paths)
    assert together.shape == (2, encoder.embedding_dim)
    torch.testing.assert_close(together, encoder.embed(arrays, 8000))
    torch.testing.assert_close(together[1], encoder.embed(arrays[1], 8000))
    with (tmp_path / "0.wav").open("rb") as file:
        torch.testing.assert_close(encoder.embed(file), together[0])
    with pytest.raises(ValueError, match=r"0\.wav has 8000 Hz"):
        encoder.embed(paths[0], 16000)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"text\.wav cannot be read as sound"):
        encoder.embed(tmp_path / "text.wav")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_mel_mean": float("nan")}, "finite number"),
        ({"log_mel_standard_deviation": float("inf")}, "finite number"),
        ({"encoder": {"name": "resnet", "width": 8 * 10**9}}, "less than or equal"),
        ({"encoder": {"name": "resnet", "width": 4096, "blocks": [100] * 5}}, "does not hold the weights"),
    ],
)
def test_a_config_that_cannot_be_is_refused(
    encoder: AudioEncoder, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        AudioEncoder.load(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "\xff", "{}"])
def test_a_file_that_is_no_config_is_refused(encoder: AudioEncoder, tmp_path: Path, text: str) -> None:
    encoder.save(tmp_path)
    (tmp_path / "encoder.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"encoder\.json is not an encoder's config"):
        AudioEncoder.load(tmp_path)


def test_weights_that_are_no_numbers_are_refused(encoder: AudioEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "encoder.safetensors")
    name = next(name for name, value in weights.items() if value.is_floating_point())
    weights[name].view(-1)[0] = float("nan")
    safetensors.torch.save_file(weights, tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match=f"{name} holds NaN"):
        AudioEncoder.load(tmp_path)


def test_weights_of_another_encoder_are_refused(encoder: AudioEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "encoder.json").read_text())
    config["encoder"]["width"] = 16
    (tmp_path / "encoder.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not hold the weights of its config"):
        AudioEncoder.load(tmp_path)


def test_an_unknown_key_is_refused(encoder: AudioEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps({**config, "colour": "blue"}))
    with pytest.raises(ValueError, match="colour"):
        AudioEncoder.load(tmp_path)


def test_an_encoder_that_was_saved_before_there_were_depths_embeds_as_it_did(tmp_path: Path) -> None:
    of_last = CONFIG.model_copy(update={"encoder": ResNetConfig(width=8, depths="last")})
    encoder = AudioEncoder(of_last, device="cpu", precision="float32")
    encoder.save(tmp_path)
    file = tmp_path / "encoder.json"
    saved = json.loads(file.read_text())
    del saved["encoder"]["depths"]
    file.write_text(json.dumps(saved))
    loaded = AudioEncoder.load(tmp_path, device="cpu", precision="float32")
    waveform = noise(2, 16000)
    assert torch.equal(loaded.embed(waveform, 16000), encoder.embed(waveform, 16000))


def test_a_folder_without_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"it has no encoder\.json"):
        AudioEncoder.load(tmp_path)


def test_resampling_keeps_a_tone_where_it_is() -> None:
    time = np.arange(44100) / 44100
    resampled = resample(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 44100, 16000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(resampled - expected)[200:-200].max() < 1e-3


def test_an_encoder_of_waveforms_gets_the_crops_themselves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"encoder": SampleCnnConfig(width=8, blocks=4)})
    encoder = AudioEncoder(config, device="cpu", precision="float32")
    crops = torch.from_numpy(np.stack([noise(0.96, 16000, seed) for seed in range(2)]))
    with torch.no_grad():
        embedded = encoder.embed_crops(crops, torch.arange(2), torch.zeros(2, dtype=torch.int64))
        torch.testing.assert_close(embedded, encoder.encoder(crops[:, None, None]))
    encoder.save(tmp_path)
    loaded = AudioEncoder.load(tmp_path, device="cpu", precision="float32")
    assert loaded.config == config
    waveform = noise(3, 44100)
    assert torch.equal(loaded.embed(waveform, 44100), encoder.embed(waveform, 44100))


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(width=8),
        ResNetConfig(width=8, depths="last"),
        VggLikeConfig(width=8),
        CrnnConfig(),
        SampleCnnConfig(),
    ],
)
def test_a_folded_copy_embeds_the_same_without_batch_normalisation(config: AnyEncoderConfig) -> None:
    torch.manual_seed(0)
    encoder = AudioEncoder(CONFIG.model_copy(update={"encoder": config}), device="cpu", precision="float32")
    for norm in norms(encoder):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 1.5)
    folded = encoder.folded()
    assert norms(encoder)
    assert not norms(folded)
    expected = encoder.embed(noise(3, 16000), 16000)
    torch.testing.assert_close(folded.embed(noise(3, 16000), 16000), expected, rtol=1e-4, atol=1e-4)


def norms(encoder: AudioEncoder) -> list[Any]:
    return [one for one in encoder.modules() if isinstance(one, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
