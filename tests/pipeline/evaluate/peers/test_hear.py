"""`hear:MODULE`: a module with the interface of HEAR 2021, and modules that lack something of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.peers.hear import HearEncoder
from tests.pipeline.evaluate.making import HEAR_MODULE

CONFIG = EmbedConfig(device="cpu")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that can be imported; each test gives it a name of its own."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def encoder_of(folder: Path, name: str, text: str = HEAR_MODULE, weights: str = "") -> HearEncoder:
    (folder / f"{name}.py").write_text(text)
    return HearEncoder(name, f"{name}:{weights}" if weights else name, CONFIG)


def test_embeddings_are_those_of_the_module_whatever_the_lengths(module: Path) -> None:
    peer = encoder_of(module, "hear_lengths")
    assert (peer.sample_rate_hz, peer.embedding_dim) == (8000, 6)
    generator = np.random.default_rng(0)
    waveforms = [generator.uniform(-1, 1, length).astype(np.float32) for length in (900, 4000, 900, 50)]
    found = peer.embed(waveforms)
    import hear_lengths  # type: ignore[import-not-found]

    model = hear_lengths.load_model()
    for waveform, row in zip(waveforms, found, strict=True):
        expected = hear_lengths.get_scene_embeddings(torch.from_numpy(waveform)[None], model)[0]
        np.testing.assert_allclose(row, expected.detach(), rtol=1e-5)


def test_inputs_follow_weights_and_source(module: Path) -> None:
    for number in (1, 2):
        torch.save({"bands": torch.full((6,), float(number))}, module / f"{number}.pt")
    first = encoder_of(module, "hear_one", weights=str(module / "1.pt"))
    again = encoder_of(module, "hear_one", weights=str(module / "1.pt"))
    assert first.inputs == again.inputs
    torch.save({"bands": torch.full((6,), 3.0)}, module / "1.pt")
    other = encoder_of(module, "hear_one", weights=str(module / "1.pt"))
    changed = encoder_of(module, "hear_one", f"{HEAR_MODULE}\n# changed", weights=str(module / "1.pt"))
    assert len({str(one.inputs) for one in (first, other, changed)}) == 3


BROKEN = {
    "no_function": ("def get_scene_embeddings", "def embeddings", "has no function get_scene_embeddings"),
    "import_fails": ("import torch", "import torch, not_there", "No module named 'not_there'"),
    "load_fails": ("def load_model(path=None):", "def load_model(path):", "load_model fails"),
    "no_torch": ("    return model", "    return 'model'", "gives str, and only models of torch"),
    "no_size": ("scene_embedding_size =", "size =", "the model has no scene_embedding_size"),
    "fraction": ("sample_rate = 8000", "sample_rate = 8000.5", "its sample rate is 8000.5"),
    "no_rate": ("sample_rate = 8000", "sample_rate = None", "its sample rate is None"),
    "too_low": ("sample_rate = 8000", "sample_rate = 100", "its sample rate is 100"),
    "other_size": ("scene_embedding_size = 6", "scene_embedding_size = 7", r"\(2, 6\).*must be \(2, 7\)"),
    "squeezed": ("* model.bands", "@ model.bands", r"shape \(2,\)"),
    "not_a_number": ("* model.bands", "* model.bands * float('nan')", "gives NaN"),
    "raises": ("* model.bands", "* torch.ones(5)", "fails on 2 x 1 s of sound: RuntimeError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_module_lacks_is_named_at_once(name: str, module: Path) -> None:
    old, new, message = BROKEN[name]
    assert old in HEAR_MODULE
    with pytest.raises(UserError, match=f"^hear:hear_{name}.*{message}"):
        encoder_of(module, f"hear_{name}", HEAR_MODULE.replace(old, new))


def test_a_module_that_is_not_there_is_told_from_one_that_lacks_a_package() -> None:
    with pytest.raises(UserError, match=r"hear:not\.there: there is no such module; install it"):
        HearEncoder("a", "not.there", CONFIG)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_missing_is_named(module: Path) -> None:
    (module / "hear_device.py").write_text(HEAR_MODULE)
    with pytest.raises(UserError, match=r"^embed\.device=cuda, but torch sees no CUDA GPU"):
        HearEncoder("a", "hear_device", EmbedConfig(device="cuda"))


def test_an_encoder_of_echopair_is_one_of_hear_too(encoder: Path) -> None:
    peer = HearEncoder("own", f"echopair.models.hear:{encoder}", CONFIG)
    waveforms = [
        np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32) for length in (9000, 40_000)
    ]
    expected = load_encoder(encoder, EmbedConfig(device="cpu")).embed(waveforms, 16000)
    np.testing.assert_allclose(peer.embed(waveforms), expected, rtol=1e-3, atol=1e-4)
