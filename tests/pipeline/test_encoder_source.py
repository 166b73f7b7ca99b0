"""Encoders by their addresses: on a hub, in MLflow, and in a folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from echopair import AudioEncoder
from echopair.pipeline.apply import apply
from echopair.pipeline.embedding_table import read_info
from echopair.pipeline.encoder_source import encoder_folder
from echopair.pipeline.errors import UserError
from echopair.pipeline.search import query_excerpt, search_for
from echopair.pipeline.tracking import TrackedRun, TrackingConfig
from tests.hub_server import Hub, hub_server
from tests.pipeline.conftest import audio_encoder
from tests.pipeline.export.test_graph import sound


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recording") / "owl.wav"
    soundfile.write(file, sound(80_000), 16000)
    return file


@pytest.fixture
def hub(encoder: Path, tmp_path: Path) -> Iterator[type[Hub]]:
    with hub_server(tmp_path / "cache") as state:
        state.models["me/owl"] = {file.name: file.read_bytes() for file in encoder.iterdir()} | {
            "README.md": b"# owl",
            "pytorch_model.bin": b"a pickle",
        }
        state.models["me/bert"] = {"config.json": b"{}"}
        yield state


def test_a_model_of_the_hub_embeds_as_its_folder_and_is_cached(
    hub: type[Hub], encoder: Path, recording: Path
) -> None:
    loaded = AudioEncoder.load("hf://me/owl", device="cpu", precision="float32")
    assert isinstance(loaded, AudioEncoder)
    expected = AudioEncoder.load(encoder, device="cpu", precision="float32").embed(recording)
    assert torch.equal(loaded.embed(recording), expected)
    fetched = {request.rsplit("/", 1)[-1] for request in hub.requests if "/resolve/" in request}
    assert fetched == {"encoder.json", "encoder.safetensors"}
    hub.requests.clear()
    AudioEncoder.load("hf://me/owl@main")
    assert not any("/resolve/" in request for request in hub.requests)


def test_a_table_of_a_model_of_the_hub_is_searched_by_its_address(
    hub: type[Hub], recording: Path, tmp_path: Path
) -> None:
    done = apply("hf://me/owl", [recording], tmp_path / "owl.parquet")
    assert read_info(done.file).encoder_folder == "hf://me/owl"
    assert apply("hf://me/owl", [recording], done.file).seconds_of_audio == 0
    found = search_for(done.file, query_excerpt(recording, 3.0, 4.0), 3)
    assert found.rows == pq.read_metadata(done.file).num_rows


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/none", "^hf://me/none: the Hub has no such model, or you have no access to it"),
        ("hf://me/owl@v2", "^hf://me/owl@v2: the model has no revision v2$"),
        ("hf://owl", "^hf://owl is no address of an encoder: give hf://OWNER/NAME$"),
        ("hf://datasets/me/owl", "^hf://datasets/me/owl is not the address of a model"),
        ("hf://me/bert", "^hf://me/bert is no encoder of echopair: it has no encoder.json$"),
    ],
)
def test_what_the_hub_does_not_have(hub: type[Hub], address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        AudioEncoder.load(address)


def test_without_the_hub_its_cache_is_used(
    hub: type[Hub], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = AudioEncoder.load("hf://me/owl").embed(recording)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert torch.equal(AudioEncoder.load("hf://me/owl").embed(recording), expected)
    with pytest.raises(UserError, match=r"^hf://me/crow: the Hub cannot be reached, and the encoder was not"):
        AudioEncoder.load("hf://me/crow")


@pytest.fixture(scope="module")
def tracked(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with a work folder, the id of a run, and the address of its model."""
    folder = tmp_path_factory.mktemp("tracked")
    run = TrackedRun.open(TrackingConfig(), folder / "work", "owl1", "owl")
    model = run.log_encoder(encoder)
    run.end("FINISHED")
    return folder, run.run_id, model


def test_a_model_of_mlflow_in_the_work_folder_here(
    tracked: tuple[Path, str, str], encoder: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run_id, model = tracked
    expected = AudioEncoder.load(encoder).embed(recording)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    for address in (f"runs:/{run_id}/encoder", model):
        assert torch.equal(AudioEncoder.load(address).embed(recording), expected)
        with encoder_folder(address) as copy:
            pass
        assert not copy.exists()
    assert not mlflow.is_tracking_uri_set()
    with pytest.raises(UserError, match=r"runs:/none/encoder cannot be had from MLflow store .*id=none"):
        AudioEncoder.load("runs:/none/encoder")
    assert [one.name for one in folder.iterdir()] == ["work"]


def test_a_registered_model_of_the_store_that_mlflow_is_set_to(
    tracked: tuple[Path, str, str],
    encoder: Path,
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _, model = tracked
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^there are no runs at {tmp_path}/work/mlflow.db; change to"):
        AudioEncoder.load(model)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/work/mlflow.db")
    mlflow.register_model(model, "owl")
    loaded = AudioEncoder.load("models:/owl/1")
    assert torch.equal(loaded.embed(recording), AudioEncoder.load(encoder).embed(recording))
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_name_looks_like_one_of_the_hub_is_a_folder(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(encoder, tmp_path / "me" / "owl")
    assert AudioEncoder.load("me/owl").config == audio_encoder().config
