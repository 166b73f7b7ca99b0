"""Encoders of others, under the same protocol: one file a kind, and one line in `PEERS`."""

from collections.abc import Callable

from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder

PEERS: dict[str, Callable[[str, str], FrozenEncoder]] = {}
"""By the word before the colon of an address: from a name and the rest of the address to a frozen encoder."""
