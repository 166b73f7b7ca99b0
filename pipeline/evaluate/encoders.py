"""The encoders of an evaluation: those that are named, and the baselines beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.embed import PRETRAINED, UNTRAINED, load_encoder
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.encoder_source import encoder_folder, is_address
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder, MelStatistics, OwnEncoder
from echopair.pipeline.evaluate.peers import PEERS
from echopair.pipeline.stages import digest_values

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.embed import EmbedConfig


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder that was named.

    Args:
        address: as it was given.
        name: what tables call it.
        own: the encoder, where it is one of echopair's, with its folder and the digest of its files.
        peer: the encoder, where it is another's.
    """

    address: str
    name: str
    own: tuple[AudioEncoder, Path, str] | None
    peer: FrozenEncoder | None


def open_encoders(addresses: Sequence[str], config: EmbedConfig, files: ExitStack) -> list[NamedEncoder]:
    """Load the encoders that were named.

    Args:
        addresses: folders, `hf://...`, `runs:/...`, `models:/...`, or a peer's, as `hear:MODULE`; see `PEERS`.
        config: device and precision.
        files: keeps what was fetched until it is closed.

    Raises:
        UserError: one of them is no encoder.
    """
    opened = []
    for address, name in zip(addresses, names_of(addresses), strict=True):
        kind, _, rest = address.partition(":")
        if kind in PEERS and not is_address(address):
            opened.append(NamedEncoder(address, name, None, PEERS[kind](name, rest)))
        else:
            folder = files.enter_context(encoder_folder(address))
            own = load_encoder(folder, config), folder, encoder_digest(folder)
            opened.append(NamedEncoder(address, name, own, None))
    return opened


def with_baselines(named: Sequence[NamedEncoder], config: RunConfig) -> list[FrozenEncoder]:
    """Mel statistics, an untrained encoder for each architecture, and the encoders that were named, in this order."""
    untrained: dict[str, FrozenEncoder] = {}
    encoders: list[FrozenEncoder] = []
    own = [one for one in named if one.own is not None]
    architectures = {digest_values(one.own[0].config) for one in own if one.own is not None}
    for one in named:
        if one.own is None:
            assert one.peer is not None
            encoders.append(one.peer)
            continue
        encoder, folder, digest = one.own
        name = UNTRAINED if len(architectures) == 1 else f"{UNTRAINED} {one.name}"
        untrained.setdefault(
            digest_values(encoder.config), OwnEncoder.untrained(name, encoder, folder, config)
        )
        encoders.append(OwnEncoder.pretrained(one.name, encoder, digest, config))
    return [MelStatistics(config), *untrained.values(), *encoders]


def names_of(addresses: Sequence[str]) -> list[str]:
    """Short names that tell encoders apart: the end of each address; "pretrained" for a folder that is alone.

    Raises:
        UserError: an encoder is named twice.
    """
    if twice := [address for address, count in Counter(addresses).items() if count > 1]:
        raise UserError(f"{twice[0]} is named twice; an encoder is compared with others")
    if len(addresses) == 1 and addresses[0].partition(":")[0] not in PEERS:
        return [PRETRAINED]
    parts = [
        [part for part in address.split("/") if part not in ("", ".", "encoder")] for address in addresses
    ]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return list(addresses)
