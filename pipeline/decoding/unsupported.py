"""Recordings in containers that libsndfile reads, with codecs that it does not; ffmpeg reads most of them."""

from pathlib import Path
from typing import NamedTuple

from echopair.pipeline.decoding.streams import first_packet
from echopair.pipeline.decoding.truncation import container_of

# libsndfile's codes: unsupported encoding, unimplemented format, malformed "fmt " chunk (which is what it calls a
# codec that it does not know), compressed NIST file.
UNSUPPORTED_CODES = (4, 18, 64, 110)
HEAD_BYTES = 4096
FLAC_BITS = (8, 16, 24)  # that libsndfile reads: such a file is damaged
OGG_CODECS = {b"\x7fFLAC": "FLAC", b"Speex   ": "Speex"}


class Kind(NamedTuple):
    """What a recording is, for messages, and the name of ffmpeg's demuxer."""

    name: str
    form: str


def unsupported_kind(path: str | Path, start: int, code: int) -> Kind | None:
    """What a file is that libsndfile cannot open; None if its codec is not the reason.

    Args:
        path: the file.
        start: where its container begins, in bytes.
        code: libsndfile's error.
    """
    with Path(path).open("rb") as file:
        file.seek(start)
        head = file.read(HEAD_BYTES)
    if head[:4] == b"OggS":  # libsndfile's codes do not tell another codec from damage
        packet = first_packet(head)
        codec = next((name for magic, name in OGG_CODECS.items() if packet.startswith(magic)), None)
        return Kind(f"{codec} in Ogg", "ogg") if codec else None
    if code not in UNSUPPORTED_CODES:
        return None
    if head[:4] == b"fLaC":
        bits = ((head[20] & 1) << 4 | head[21] >> 4) + 1
        return None if bits in FLAC_BITS else Kind(f"FLAC of {bits} bits", "flac")
    container = container_of(head)
    if container is None:
        return None
    at = head.find(b"fmt ") + 8
    codec = (
        f" with codec 0x{int.from_bytes(head[at : at + 2], 'little'):04x}"
        if container.name == "WAV" and at >= 8
        else ""
    )
    return Kind(f"{container.name}{codec or ' of this encoding'}", container.demuxer)
