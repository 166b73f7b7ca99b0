"""Encoders by address: their names in tables, and words that name none."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.encoders import names_of, open_encoders
from echopair.pipeline.evaluate.frozen_encoder import SECONDS_PER_BATCH, FrozenEncoder
from echopair.pipeline.store import ClipStore
from tests.pipeline.evaluate.making import HEAR_MODULE


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["work/encoders/resnet-1/encoder"], ["pretrained"]),
        (["hear:panns.hear"], ["panns.hear"]),
        (["work/encoders/resnet-1/encoder", "hear:panns.hear:/w/a.pt"], ["resnet-1", "panns.hear"]),
        (["hear:panns:/w/a.pt", "hear:panns:/w/b.pt"], ["panns a.pt", "panns b.pt"]),
        (["transformers:/m/hubert/", "torchaudio:HUBERT_BASE"], ["hubert", "HUBERT_BASE"]),
        (["onnx:a/x.onnx@8000", "onnx:b/x.onnx@8000"], ["a/x.onnx", "b/x.onnx"]),
        (["onnx:x.onnx@8000", "onnx:x.onnx@16000"], ["onnx:x.onnx@8000", "onnx:x.onnx@16000"]),
        (["a/untrained", "b/trained"], ["a/untrained", "b/trained"]),
    ],
)
def test_names_are_short_and_tell_encoders_apart(addresses: list[str], names: list[str]) -> None:
    assert names_of(addresses) == names


def opened(*addresses: str) -> list[FrozenEncoder | None]:
    with ExitStack() as files:
        return [one.peer for one in open_encoders(addresses, EmbedConfig(device="cpu"), files)]


def test_an_unknown_word_before_a_colon_is_explained() -> None:
    with pytest.raises(UserError, match="no encoders of 'hera:'; did you mean 'hear:'"):
        opened("hera:panns")
    with pytest.raises(UserError, match="named by hear:, transformers:, torchaudio:, onnx:"):
        opened("zip:x")


def test_every_clip_of_a_store_is_embedded_by_a_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ClipStore
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(f"{FrozenEncoder.__module__}.SECONDS_PER_BATCH", SECONDS_PER_BATCH / 40)
    (tmp_path / "hear_store.py").write_text(HEAR_MODULE)
    (peer,) = opened("hear:hear_store")
    assert peer is not None
    embeddings = peer.embed_store(store, "embed")
    assert embeddings.values.shape == (len(store), 6)
    assert (embeddings.values[-1] == peer.embed([store.read(len(store) - 1)])[0]).all()
