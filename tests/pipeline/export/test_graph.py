"""The ONNX graph of every encoder against `AudioEncoder.embed`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.encoders import (
    AnyEncoderConfig,
    CrnnConfig,
    ResNetConfig,
    SampleCnnConfig,
    TimmConfig,
    VggLikeConfig,
)
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.export.graph import CROPS_AT_ONCE, build_graph

CROP = 1600
HOP = 700


def encoder_of(network: AnyEncoderConfig, crop_seconds: float = 0.4) -> AudioEncoder:
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(sample_rate_hz=4000, hop_seconds=0.01),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=network,
        crop_seconds=crop_seconds,
        crop_hop_seconds=crop_seconds * HOP / CROP,
    )
    return AudioEncoder(config, device="cpu", precision="float32")


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def sound(*shape: int) -> np.ndarray:
    """A tone that grows in noise: every crop is another sound, and the first ones are silent."""
    draw = np.random.default_rng(0)
    level = np.linspace(0, 1, shape[-1]) ** 4
    tone = np.sin(0.5 * np.arange(shape[-1]))
    return (level * (0.3 * tone + 0.05 * draw.normal(size=shape))).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return encoder_of(ResNetConfig(width=8, blocks=(1, 1)))


@pytest.fixture(scope="module")
def model(encoder: AudioEncoder) -> onnx.ModelProto:
    return build_graph(encoder)


@pytest.fixture(scope="module")
def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return session_of(model)


LENGTHS = [
    1,
    CROP // 3,
    CROP - 1,
    CROP,
    CROP + 1,
    CROP + HOP,
    CROP + CROPS_AT_ONCE * HOP - HOP,  # exactly as many crops as one round of the loop takes
    CROP + CROPS_AT_ONCE * HOP - HOP + 1,
    CROP + 5 * CROPS_AT_ONCE * HOP + 333,
]


@pytest.mark.parametrize("samples", LENGTHS)
def test_any_length(encoder: AudioEncoder, session: onnxruntime.InferenceSession, samples: int) -> None:
    waveform = sound(samples)
    (embeddings,) = session.run(None, {"waveforms": waveform[None]})
    np.testing.assert_allclose(embeddings[0], encoder.embed(waveform, 4000).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recordings", [2, 3, CROPS_AT_ONCE + 1])
def test_several_recordings_are_each_alone(
    encoder: AudioEncoder, session: onnxruntime.InferenceSession, recordings: int
) -> None:
    waveforms = sound(recordings, 9000)
    (embeddings,) = session.run(None, {"waveforms": waveforms})
    np.testing.assert_allclose(embeddings, encoder.embed(waveforms, 4000).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 0), (0, 100)])
def test_empty_input_is_an_error_and_does_not_kill_the_process(
    session: onnxruntime.InferenceSession, shape: tuple[int, int]
) -> None:
    with pytest.raises(Exception, match="Non-zero status code"):
        session.run(None, {"waveforms": np.zeros(shape, np.float32)})


@pytest.mark.parametrize(
    "network",
    [
        VggLikeConfig(width=8, embedding_dim=32),
        CrnnConfig(width=16, embedding_dim=16),
        SampleCnnConfig(width=8, blocks=4),
        TimmConfig(model="test_convnext"),
    ],
    ids=lambda config: config.name,
)
def test_every_other_encoder(network: AnyEncoderConfig) -> None:
    encoder = encoder_of(network)
    session = session_of(build_graph(encoder))
    waveform = sound(3 * CROP)
    expected = encoder.embed(waveform, 4000).numpy()
    (embeddings,) = session.run(None, {"waveforms": waveform[None]})
    assert np.linalg.norm(embeddings[0] - expected) <= 1e-5 * np.linalg.norm(expected)


def test_names_nothing_of_this_machine_and_is_the_same_again(
    encoder: AudioEncoder, model: onnx.ModelProto
) -> None:
    content = model.SerializeToString()
    for secret in (str(Path.home()), str(Path(__file__).parents[3]), "site-packages"):
        assert secret.encode() not in content
    assert build_graph(encoder).SerializeToString() == content


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (torch.special.bessel_j0, r"^torch cannot export it \(.*bessel_j0.*\)$"),
        (lambda output: output.view(len(output), -1), "^torch can export it for one number of crops only$"),
    ],
)
def test_a_network_that_cannot_be_exported(
    operation: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    encoder = encoder_of(ResNetConfig(width=8, blocks=(1,)))
    readout = encoder.encoder.readout
    encoder.encoder.readout = lambda log_mels: operation(readout(log_mels))
    with pytest.raises(ValueError, match=message):
        build_graph(encoder)


def test_weights_beyond_what_a_file_holds_are_refused(
    encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echopair.pipeline.export.graph.LARGEST_BYTES_OF_WEIGHTS", 1000)
    with pytest.raises(ValueError, match="one file of ONNX holds at most 2 GB"):
        build_graph(encoder)
