"""The lengths that W64, AU, CAF and NIST SPHERE files declare.

Sources: Sony Wave64; the manual page audio(5) of SunOS (AU); Apple Core Audio Format 1.0; NIST SPHERE 2.6.
"""

import re
import struct
from dataclasses import replace
from typing import BinaryIO

from echopair.pipeline.decoding.envelope import Envelope, Part, blocks_of

HEADER_TOLERANCE_BYTES = 64  # a writer that counts its own header, or forgets it, is wrong by this much
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"  # of the identifier of every other chunk
W64_CHUNK_BYTES = 24  # an identifier and a length that counts them
NIST_NUMBER = re.compile(rb"^(sample_count|sample_n_bytes|channel_count) -(?:i|s\d+) (\d+)", re.MULTILINE)
MOST_CHUNKS = 10_000


def compared(declared: int, present: int, excess: int) -> Envelope:
    """The envelope of a container that counts bytes.

    Args:
        declared, present: bytes of sound, those from the beginning of the sound to the end of the file.
        excess: bytes behind the declared end that nothing explains.
    """
    if declared > present:
        is_cut = declared - present > min(HEADER_TOLERANCE_BYTES, present)
        return Envelope(cut=is_cut, declared_ratio=declared / present if present else None)
    if excess <= HEADER_TOLERANCE_BYTES:
        excess = 0
    return Envelope(held_ratio=(declared + excess) / declared if declared else float(excess > 0) + 1.0)


def _with_length(file: BinaryIO, at: int, length: bytes, size_bytes: int) -> Envelope:
    """A file whose length was left open, with one that says: up to the end."""
    file.seek(0)
    return Envelope(part=Part(file.read(at) + length, at + len(length), size_bytes))


def w64(file: BinaryIO, size_bytes: int) -> Envelope:
    """A Sony Wave64 file."""
    at = 40  # behind the chunk that holds all others, and its type
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(W64_CHUNK_BYTES)
        if len(chunk) < W64_CHUNK_BYTES:
            break
        length = int.from_bytes(chunk[16:], "little")
        if chunk[:4] == b"data":
            start = at + W64_CHUNK_BYTES
            present = size_bytes - start
            if (length <= W64_CHUNK_BYTES and present > 0) or length >= 1 << 62:
                return _with_length(file, at + 16, struct.pack("<Q", present + W64_CHUNK_BYTES), size_bytes)
            end = at + length
            file.seek(end + -end % 8)
            excess = 0 if file.read(16)[4:] == W64_TAIL else _sound_bytes(file, end, size_bytes)
            return _up_to(end, size_bytes, compared(length - W64_CHUNK_BYTES, present, excess))
        if length < W64_CHUNK_BYTES:
            break
        at += length + -length % 8
    return Envelope()


def au(file: BinaryIO, size_bytes: int) -> Envelope:
    """An AU file, big-endian (`.snd`) or little-endian (`dns.`)."""
    file.seek(0)
    head = file.read(12)
    if len(head) < 12:
        return Envelope()
    start, declared = struct.unpack(">4xII" if head[:4] == b".snd" else "<4xII", head)
    present = size_bytes - start
    if declared == 0xFFFFFFFF:
        return Envelope()
    if declared == 0 and present > 0:
        return _with_length(file, 8, b"\xff\xff\xff\xff", size_bytes)
    return compared(declared, present, _sound_bytes(file, start + declared, size_bytes))


def caf(file: BinaryIO, size_bytes: int) -> Envelope:
    """A Core Audio file."""
    at = 8
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(12)
        if len(chunk) < 12:
            break
        name, length = struct.unpack(">4sq", chunk)
        present = size_bytes - at - 12
        if name == b"data":
            if length <= 0 and present > 0:  # -1: up to the end
                return _with_length(file, at + 4, struct.pack(">q", present), size_bytes)
            file.seek(at + 12 + length)
            following = file.read(12)
            is_chunk = len(following) == 12 and all(0x20 <= byte < 0x7F for byte in following[:4])
            return compared(
                length, present, 0 if is_chunk else _sound_bytes(file, at + 12 + length, size_bytes)
            )
        if length < 0:
            break
        if length > present:
            return Envelope(cut=True)
        at += 12 + length
    return Envelope(cut=at > size_bytes)


def nist(file: BinaryIO, size_bytes: int) -> Envelope:
    """A NIST SPHERE file."""
    file.seek(0)
    lines = file.read(1024)
    start = int(lines[8:16]) if lines[8:16].strip().isdigit() else 1024
    numbers = {name: int(number) for name, number in NIST_NUMBER.findall(lines)}
    frames = numbers.get(b"sample_count", 0)
    declared = frames * numbers.get(b"sample_n_bytes", 2) * numbers.get(b"channel_count", 1)
    if not declared:
        return Envelope()
    end = start + declared
    return _up_to(
        end, size_bytes, compared(declared, size_bytes - start, _sound_bytes(file, end, size_bytes))
    )


def _up_to(end: int, size_bytes: int, envelope: Envelope) -> Envelope:
    """The envelope with the declared end of the sound, beyond which libsndfile would read on."""
    return replace(envelope, part=Part(b"", 0, end)) if end < size_bytes else envelope


def _sound_bytes(file: BinaryIO, end: int, size_bytes: int) -> int:
    """Bytes from `end` on, 0 if all of them are zero and so no more than padding."""
    if end >= size_bytes or not any(block.strip(b"\0") for _, block in blocks_of(file, end)):
        return 0
    return size_bytes - end
