"""`torchaudio:BUNDLE` and `transformers:FOLDER`: tiny networks with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio

from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.peers import transformers as transformers_peer
from echopair.pipeline.evaluate.peers.torchaudio import TorchaudioEncoder
from echopair.pipeline.evaluate.peers.transformers import TransformersEncoder

CONFIG = EmbedConfig(device="cpu")
RATE = 16000
SIZES = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(16, 10, 5), (16, 8, 4), (16, 4, 4), (16, 4, 4)],  # a frame each 20 ms
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.1,
    "aux_num_out": None,
}


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A network whose weights lie where torch.hub keeps them, as those of bundles TINY and TINY_NORMALISED."""
    torch.manual_seed(0)
    network = torchaudio.models.wav2vec2_model(**SIZES).eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / "tiny.pth")
    for name, normalises in (("TINY", False), ("TINY_NORMALISED", True)):
        bundle = torchaudio.pipelines.Wav2Vec2Bundle("tiny.pth", SIZES, RATE, normalises, "Wav2Vec2")
        monkeypatch.setattr(torchaudio.pipelines, name, bundle, raising=False)
    return network


def test_an_embedding_is_the_mean_of_the_last_layer(network: torch.nn.Module) -> None:
    peer = TorchaudioEncoder("tiny", "TINY", CONFIG)
    one, other = sound(0.7), sound(1.3)
    found = peer.embed([one, other, one])
    for waveform, row in zip((one, other, one), found, strict=True):
        with torch.inference_mode():
            expected = network(torch.from_numpy(waveform)[None])[0][0].mean(0)
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_normalised_waveforms_do_not_depend_on_their_level_or_neighbours(network: torch.nn.Module) -> None:
    peer = TorchaudioEncoder("tiny", "TINY_NORMALISED", CONFIG)
    one, loud = sound(0.5, 1), 5 * sound(0.5, 2)
    alone, _, quiet = peer.embed([one, loud, 0.5 * one])
    np.testing.assert_allclose(alone, peer.embed([one])[0], atol=1e-6)
    np.testing.assert_allclose(alone, quiet, atol=1e-2)


def test_clips_shorter_than_a_frame_and_longer_than_half_a_minute(network: torch.nn.Module) -> None:
    peer = TorchaudioEncoder("tiny", "TINY", CONFIG)
    long = np.tile(sound(30), 2)
    short, halves, half = peer.embed([sound(0.001), long, long[: 30 * RATE]])
    assert np.isfinite(short).all()
    np.testing.assert_allclose(halves, half, atol=1e-5)


def test_weights_are_not_downloaded_and_the_message_says_where_they_belong(network: torch.nn.Module) -> None:
    file = Path(torch.hub.get_dir()) / "checkpoints" / "hubert_fairseq_base_ls960.pth"
    with pytest.raises(UserError) as refused:
        TorchaudioEncoder("hubert", "HUBERT_BASE", CONFIG)
    assert str(file) in str(refused.value)
    assert "https://download.pytorch.org/torchaudio/models/hubert_fairseq_base_ls960.pth" in str(
        refused.value
    )
    file.write_bytes(b"half")
    with pytest.raises(UserError, match="does not hold its weights; delete it"):
        TorchaudioEncoder("hubert", "HUBERT_BASE", CONFIG)
    with pytest.raises(UserError, match="did you mean 'HUBERT_BASE'"):
        TorchaudioEncoder("hubert", "HUBERT_BAS", CONFIG)


def test_inputs_follow_the_weights(network: torch.nn.Module) -> None:
    before = TorchaudioEncoder("tiny", "TINY", CONFIG).inputs
    assert TorchaudioEncoder("tiny", "TINY", CONFIG).inputs == before
    network.encoder.transformer.layers[0].final_layer_norm.weight.data += 1
    torch.save(network.state_dict(), Path(torch.hub.get_dir()) / "checkpoints" / "tiny.pth")
    assert TorchaudioEncoder("tiny", "TINY", CONFIG).inputs != before


def test_transformers_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_peer.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install transformers"):
        TransformersEncoder("wav2vec2", "wav2vec2", CONFIG)


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
@pytest.mark.parametrize("normalises", [False, True])
def test_a_folder_of_transformers(kind: str, normalises: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "conv_dim": [16] * 7}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes)).eval()
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"it has no preprocessor_config\.json"):
        TransformersEncoder("tiny", str(tmp_path), CONFIG)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalises).save_pretrained(tmp_path)
    peer = TransformersEncoder("tiny", str(tmp_path), CONFIG)
    one, other = sound(0.7) + 0.05, sound(1.3)
    found = peer.embed([one, other])
    for waveform, row in zip((one, other), found, strict=True):
        seen = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7) if normalises else waveform
        with torch.inference_mode():
            expected = model(torch.from_numpy(seen)[None]).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, expected, atol=1e-5)
    next(iter(model.parameters())).data += 1
    model.save_pretrained(tmp_path)
    assert TransformersEncoder("tiny", str(tmp_path), CONFIG).inputs != peer.inputs


def test_both_libraries_give_the_same_of_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "conv_dim": [16] * 7}
    large = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes, **large)).eval()
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    bundle = torchaudio.pipelines.Wav2Vec2Bundle("same.pth", {}, RATE, True, "Wav2Vec2")
    converted = torchaudio.models.wav2vec2.utils.import_huggingface_model(model)
    wrapped = torchaudio.pipelines._wav2vec2.utils._extend_model(converted, normalize_waveform=True).eval()
    monkeypatch.setattr(bundle, "get_model", lambda **_: wrapped)
    monkeypatch.setattr(torchaudio.pipelines, "SAME", bundle, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "same.pth").touch()
    waveforms = [sound(0.7), sound(1.3)]
    np.testing.assert_allclose(
        TorchaudioEncoder("same", "SAME", CONFIG).embed(waveforms),
        TransformersEncoder("same", str(tmp_path), CONFIG).embed(waveforms),
        atol=1e-3,  # the libraries add other small numbers to the variance
    )
