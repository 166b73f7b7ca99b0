"""Encoders of others, under the same protocol: one file a kind, and one line in `PEERS`."""

from collections.abc import Callable

from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
from echopair.pipeline.evaluate.peers.hear import HearEncoder
from echopair.pipeline.evaluate.peers.onnx import OnnxEncoder
from echopair.pipeline.evaluate.peers.torchaudio import TorchaudioEncoder
from echopair.pipeline.evaluate.peers.transformers import TransformersEncoder

PEERS: dict[str, Callable[[str, str, EmbedConfig], FrozenEncoder]] = {
    "hear": HearEncoder,
    "transformers": TransformersEncoder,
    "torchaudio": TorchaudioEncoder,
    "onnx": OnnxEncoder,
}
"""By the word before the colon of an address: from a name, the rest of the address and the device to an encoder."""
