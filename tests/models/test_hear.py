"""The interface of HEAR 2021: scenes as of AudioEncoder, and embeddings at the times that are stated."""

from pathlib import Path

import pytest
import torch

from echopair.models import hear
from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig


@pytest.fixture(params=[16000, 22050])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(sample_rate_hz=request.param),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=ResNetConfig(width=8, blocks=(1, 1)),
        crop_seconds=0.3,
        crop_hop_seconds=0.15,
    )
    AudioEncoder(config, device="cpu").save(tmp_path)
    return tmp_path


def test_scenes_are_embedded_as_by_the_encoder(folder: Path) -> None:
    model = hear.load_model(str(folder))
    audio = torch.rand(3, int(1.1 * model.sample_rate)) * 2 - 1
    found = hear.get_scene_embeddings(audio, model)
    assert found.dtype == torch.float32
    assert found.shape == (3, model.scene_embedding_size)
    assert torch.equal(found, AudioEncoder.load(folder).embed(audio, model.sample_rate))
    assert torch.equal(model(audio[:1]), found[:1])


def test_timestamps_are_in_milliseconds_from_the_beginning_to_the_end(folder: Path) -> None:
    model = hear.load_model(str(folder))
    audio = torch.rand(2, int(1.075 * model.sample_rate)) * 2 - 1
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (2, 22, model.timestamp_embedding_size)
    assert timestamps.tolist() == [[50.0 * number for number in range(22)]] * 2
    assert len(hear.get_timestamp_embeddings(audio, model, hop_ms=10)[1][0]) == 108


def test_an_embedding_is_that_of_the_crop_around_its_timestamp(folder: Path) -> None:
    model = hear.load_model(str(folder))
    audio = torch.rand(2, int(1.5 * model.sample_rate)) * 2 - 1
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    centre = round(float(timestamps[1, 13]) / 1000 * model.sample_rate)
    samples = model.encoder.config.crop_samples
    crop = audio[1, centre - samples // 2 :][:samples]
    expected = model.encoder.embed(crop, model.sample_rate)[: model.timestamp_embedding_size]
    torch.testing.assert_close(embeddings[1, 13], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("begin_seconds", [0.7, 1.25])
def test_the_embedding_changes_where_the_sound_does(begin_seconds: float, folder: Path) -> None:
    model = hear.load_model(str(folder))
    torch.manual_seed(1)
    audio = 0.001 * torch.randn(1, 2 * model.sample_rate)
    begin = round(begin_seconds * model.sample_rate)
    event = 0.5 * torch.sin(torch.arange(audio.shape[1] - begin) * 0.3)
    audio[0, begin:] += event
    (embeddings,), (timestamps,) = hear.get_timestamp_embeddings(audio, model, hop_ms=25)
    before, after = embeddings[timestamps < 100].mean(0), embeddings[timestamps > 1900].mean(0)
    nearer_after = (embeddings - after).norm(dim=1) < (embeddings - before).norm(dim=1)
    crop_ms = 1000 * model.encoder.config.crop_seconds
    # A crop that is centred at the begin of the event is half event; none hears it from half a crop away.
    assert not nearer_after[timestamps < 1000 * begin_seconds - crop_ms / 2].any()
    assert nearer_after[timestamps > 1000 * begin_seconds + crop_ms / 2].all()
    first = float(timestamps[nearer_after.nonzero()[0, 0]])
    assert abs(first - 1000 * begin_seconds) <= crop_ms / 2


def test_a_sound_shorter_than_a_crop(folder: Path) -> None:
    model = hear.load_model(str(folder))
    for samples in (1, 100):
        embeddings, timestamps = hear.get_timestamp_embeddings(torch.rand(1, samples), model)
        assert embeddings.isfinite().all()
        assert timestamps.tolist() == [[0.0]]


def test_a_folder_is_asked_for() -> None:
    with pytest.raises(ValueError, match="give the folder of an encoder"):
        hear.load_model()
    with pytest.raises(FileNotFoundError, match="is no encoder folder"):
        hear.load_model("/nowhere")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_model_follows_to_the_device_of_the_harness(folder: Path) -> None:
    model = hear.load_model(str(folder)).to("cpu")
    audio = torch.rand(2, model.sample_rate)
    expected = hear.get_timestamp_embeddings(audio, model)[0]
    model.to("cuda")
    found, timestamps = hear.get_timestamp_embeddings(audio.cuda(), model)
    assert found.is_cuda
    assert timestamps.is_cuda
    assert hear.get_scene_embeddings(audio.cuda(), model).is_cuda
    torch.testing.assert_close(found.cpu(), expected, rtol=2e-2, atol=2e-2)
