"""`onnx:FILE`: files of `echopair export`, and those of others."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.peers.onnx import OnnxEncoder
from echopair.pipeline.export import export_onnx

CONFIG = EmbedConfig(device="cpu", precision="float32")


def graph(file: Path, input_shape: list[str | int], external: bool = False, weight: float = 1.0) -> Path:
    """The mean over time, times four numbers: (batch, samples) -> (batch, 4)."""
    helper = onnx.helper
    weights = onnx.numpy_helper.from_array(np.arange(1, 5, dtype=np.float32)[None] * weight, "weights")
    nodes = [
        helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[1]),
        helper.make_node("Mul", ["mean", "weights"], ["out"]),
    ]
    float32 = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("sound", float32, input_shape)]
    outputs = [helper.make_tensor_value_info("out", float32, None)]
    model = helper.make_model(
        helper.make_graph(nodes, "mean", inputs, outputs, [weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    onnx.save(model, file, save_as_external_data=external, location=f"{file.name}.data", size_threshold=0)
    return file


def test_a_file_of_export_brings_its_rate_and_gives_the_embeddings_of_its_encoder(
    encoder: Path, tmp_path: Path
) -> None:
    file = export_onnx(encoder, tmp_path / "encoder.onnx").file
    peer = OnnxEncoder("onnx", str(file), CONFIG)
    assert peer.sample_rate_hz == 16000
    generator = np.random.default_rng(0)
    waveforms = [
        generator.uniform(-0.5, 0.5, length).astype(np.float32) for length in (20_000, 9_000, 20_000)
    ]
    expected = load_encoder(encoder, CONFIG).embed(waveforms, 16000)
    np.testing.assert_allclose(peer.embed(waveforms), expected, rtol=1e-3, atol=1e-4)
    assert OnnxEncoder("onnx", f"{file}@16000", CONFIG).sample_rate_hz == 16000
    with pytest.raises(UserError, match="its sample rate is 16000 Hz; leave @8000 out"):
        OnnxEncoder("onnx", f"{file}@8000", CONFIG)


@pytest.mark.parametrize("shape", [["batch", "samples"], [1, "samples"]])
def test_a_file_of_others_with_any_or_one_clip_at_once(shape: list[str | int], tmp_path: Path) -> None:
    peer = OnnxEncoder("onnx", f"{graph(tmp_path / 'mean.onnx', shape)}@8000", CONFIG)
    assert peer.sample_rate_hz == 8000
    found = peer.embed([np.float32([0.5, 0.1]), np.float32([0.4]), np.float32([0.1, 0.1])])
    np.testing.assert_allclose(found, np.outer([0.3, 0.4, 0.1], [1, 2, 3, 4]), rtol=1e-5)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    file = graph(tmp_path / "mean.onnx", ["batch", "samples"])
    refused = {
        str(file): "does not say its sample rate; write onnx:.*@RATE",
        f"{file}@7": "its sample rate is '7'",
        f"{file}x@8000": "there is no file",
        f"{graph(tmp_path / 'b.onnx', ['batch', 'channels', 'samples'])}@8000": "it must take waveforms",
        f"{graph(tmp_path / 'c.onnx', ['batch', 100])}@8000": "fails on 2 x 1 s of sound",
    }
    (tmp_path / "text.onnx").write_text("no graph")
    refused[f"{tmp_path / 'text.onnx'}@8000"] = "cannot be loaded"
    for address, message in refused.items():
        with pytest.raises(UserError, match=f"^onnx:{tmp_path}.*{message}"):
            OnnxEncoder("onnx", address, CONFIG)


@pytest.mark.parametrize("external", [False, True])
def test_inputs_follow_weights_in_the_file_and_beside_it(external: bool, tmp_path: Path) -> None:
    def inputs(weight: float) -> object:
        file = graph(tmp_path / "mean.onnx", ["batch", "samples"], external, weight)
        assert file.with_name("mean.onnx.data").is_file() == external
        return OnnxEncoder("onnx", f"{file}@8000", CONFIG).inputs

    before = inputs(1.0)
    (tmp_path / "mean.onnx.data").unlink(missing_ok=True)
    assert inputs(2.0) != before
    (tmp_path / "mean.onnx.data").unlink(missing_ok=True)
    assert inputs(1.0) == before


def test_a_network_exported_by_torch(tmp_path: Path) -> None:
    network = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, -1)), torch.nn.Conv1d(1, 3, 5), torch.nn.Flatten()
    )
    network = torch.nn.Sequential(network, torch.nn.LazyLinear(8)).eval()
    example = torch.zeros(1, 4000)
    network(example)
    torch.onnx.export(network, (example,), tmp_path / "torch.onnx", dynamo=True, verbose=False)
    peer = OnnxEncoder("onnx", f"{tmp_path / 'torch.onnx'}@4000", CONFIG)
    waveform = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    expected = network(torch.from_numpy(waveform)[None]).detach()
    np.testing.assert_allclose(peer.embed([waveform]), expected, atol=1e-5)
