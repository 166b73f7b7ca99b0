"""The encoders of an evaluation: those that are named, and the baselines beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.embed import MEL_STATISTICS, PRETRAINED, UNTRAINED, load_encoder
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.encoder_source import encoder_folder, is_address
from echopair.pipeline.errors import UserError, did_you_mean
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
        kind, colon, rest = address.partition(":")
        if is_peer(address):
            opened.append(NamedEncoder(address, name, None, PEERS[kind](name, rest, config)))
        elif colon and not is_address(address) and not Path(address).exists():
            known = [f"{one}:" for one in PEERS]
            raise UserError(
                f"{address}: there is no folder of this name, and no encoders of {kind + colon!r}"
                f"{did_you_mean(kind + colon, known)}; others than echopair's are named by {', '.join(known)}"
            )
        else:
            folder = files.enter_context(encoder_folder(address))
            own = load_encoder(folder, config), folder, encoder_digest(folder)
            opened.append(NamedEncoder(address, name, own, None))
    return opened


def is_peer(address: str) -> bool:
    """Whether an address names an encoder of others; see `PEERS`."""
    return ":" in address and address.partition(":")[0] in PEERS


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
    if len(addresses) == 1 and not is_peer(addresses[0]):
        return [PRETRAINED]
    several = [_names(address) for address in addresses]
    for length in range(max(map(len, several))):
        names = [one[min(length, len(one) - 1)] for one in several]
        if len({*names, MEL_STATISTICS, UNTRAINED}) == len(names) + 2:
            return names
    return list(addresses)


def _names(address: str) -> list[str]:
    """Names of one encoder, from short to long."""
    if not is_peer(address):
        return _ends(address)
    what, _, weights = address.partition(":")[2].partition(":")
    names = _ends(re.sub(r"@\d+$", "", what))
    return [*names, *(f"{names[0]} {one}" for one in _ends(weights) if one)]


def _ends(path: str) -> list[str]:
    """Ends of a path, from its last part on."""
    parts = [part for part in path.split("/") if part not in ("", ".", "encoder")]
    return ["/".join(parts[-length:]) for length in range(1, len(parts) + 1)] or [path]
