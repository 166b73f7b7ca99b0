"""`export_onnx`: the file, its metadata, its check, and that it needs neither torch nor echopair."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from echopair.models.audio_encoder import AudioEncoder
from echopair.models.encoders import ResNetConfig
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.errors import UserError
from echopair.pipeline.export import ExportedOnnx, export_onnx, graph, onnx_file
from tests.pipeline.export.test_graph import encoder_of, sound


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    encoder_of(ResNetConfig(width=8, blocks=(1, 1))).save(folder)
    return folder


@pytest.fixture(scope="module")
def exported(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedOnnx:
    return export_onnx(encoder, tmp_path_factory.mktemp("onnx") / "encoder.onnx")


def test_needs_neither_torch_nor_echopair(exported: ExportedOnnx, encoder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "waveform.npy", sound(20_000))
    program = """
import sys
for name in ("torch", "torchaudio", "echopair", "onnx", "onnxscript"):
    sys.modules[name] = None  # an import of it fails
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
(embedding,) = session.run(None, {"waveforms": np.load("waveform.npy")[None]})[0]
np.save("embedding.npy", embedding)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, exported.file],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout + done.stderr == ""  # without warnings of onnxruntime
    expected = AudioEncoder.load(encoder, device="cpu", precision="float32").embed(sound(20_000), 4000)
    found = np.load(tmp_path / "embedding.npy")
    assert np.linalg.norm(found - expected.numpy()) < 1e-5 * np.linalg.norm(expected.numpy())


def test_the_metadata_describes_the_encoder(exported: ExportedOnnx, encoder: Path) -> None:
    model = onnx.load(exported.file)
    metadata = {one.key: one.value for one in model.metadata_props}
    assert metadata["sample_rate_hz"] == "4000"
    assert metadata["crop_seconds"] == "0.4"
    assert metadata["encoder_sha256"] == encoder_digest(encoder)
    assert json.loads(metadata["config"]) == json.loads((encoder / "encoder.json").read_text())
    onnx.checker.check_model(model, full_check=True)
    assert 0 < exported.difference < 1e-5
    assert [one.name for one in exported.file.parent.iterdir()] == ["encoder.onnx"]


def test_a_graph_that_gives_something_else_leaves_no_file(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = graph.CropNetwork.forward
    monkeypatch.setattr(graph.CropNetwork, "forward", lambda self, crops: 1.01 * forward(self, crops))
    monkeypatch.setattr(onnx_file, "VERIFIED_SECONDS", (1.0,))
    with pytest.raises(UserError, match=r"differ from its own by 0\.01 of their length, more than 0\.0001"):
        export_onnx(encoder, tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_onnxruntime_cannot_run_leaves_no_file(
    encoder: Path, exported: ExportedOnnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(exported.file)
    model.graph.input[0].name = "sounds"
    for node in model.graph.node:
        node.input[:] = ["sounds" if name == "waveforms" else name for name in node.input]
    monkeypatch.setattr(graph, "build_graph", lambda _encoder: model)
    with pytest.raises(
        UserError, match=r"onnxruntime cannot run its graph, so no file was written: .*sounds"
    ):
        export_onnx(encoder, tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_overwritten(exported: ExportedOnnx, encoder: Path, tmp_path: Path) -> None:
    before = exported.file.read_bytes()
    with pytest.raises(UserError, match=r"encoder\.onnx exists; delete it, or give another name by --out"):
        export_onnx(encoder, exported.file)
    assert exported.file.read_bytes() == before
    with pytest.raises(UserError, match=r"there is no folder .*/missing; make it first"):
        export_onnx(encoder, tmp_path / "missing" / "encoder.onnx")
    with pytest.raises(UserError, match=r"/nowhere is no encoder folder.*hf://OWNER/NAME"):
        export_onnx("/nowhere", tmp_path / "encoder.onnx")


def test_missing_packages_are_named_with_the_remedy(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match=r"no_such_package, which is missing: pip install 'echopair\[onnx\]'"):
        export_onnx(encoder, tmp_path / "encoder.onnx")
