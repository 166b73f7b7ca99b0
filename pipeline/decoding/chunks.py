"""The lengths that WAV and AIFF files declare, in chunks that a file holds one after the other.

Sources: RIFF WAVE (IBM and Microsoft, 1991), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), AIFF 1.3 (Apple).
"""

import struct
from dataclasses import replace
from typing import BinaryIO

from echopair.pipeline.decoding.containers import HEADER_TOLERANCE_BYTES, compared
from echopair.pipeline.decoding.envelope import Envelope, Part, blocks_of

UNKNOWN_LENGTH = 0xFFFFFFFF
FILE_CHUNKS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")  # hold all others of a file
# Chunks that may be cut at the end of a file, or begin where a pad byte was forgotten.
# fmt: off
KNOWN_CHUNKS = {
    b"fmt ", b"fact", b"data", b"LIST", b"bext", b"guan", b"iXML", b"id3 ", b"ID3 ", b"PEAK",
    b"cue ", b"junk", b"JUNK", b"FLLR", b"PAD ", b"smpl", b"wamd", b"axml", b"chna", b"_PMX",
    b"AFAn", b"SSND", b"COMM", b"NAME", b"ANNO", b"AUTH", b"(c) ", b"MARK", b"INST", b"APPL",
    b"FVER",
}
# fmt: on


def _is_placeholder(length: int) -> bool:
    # Writers to a pipe do not know the length; they write the largest number, less a header, in whole frames.
    # Numbers between and below are lengths of real recordings: 24 h at 16 kHz have 2.8e9 bytes.
    return 0x7FFFF000 <= length <= 0x80001000 or length >= 0xFFFFF000


def _next_chunk(file: BinaryIO, end: int) -> int:
    """Where the chunk after one that ends at `end` begins: at an even byte, unless its writer forgot that."""
    if end % 2:
        file.seek(end)
        following = file.read(4)
        if following[:1] == b"\0" or following not in KNOWN_CHUNKS:
            return end + 1
    return end


def _chunks(file: BinaryIO, size_bytes: int, wanted: bytes, order: str) -> dict[bytes, tuple[int, int]]:
    """Offset and declared length of the first chunk of each name up to `wanted`."""
    at, found = 12, dict[bytes, tuple[int, int]]()
    while at + 8 <= size_bytes and wanted not in found:
        file.seek(at)
        name, length = struct.unpack(order + "4sI", file.read(8))
        found.setdefault(name, (at + 8, length))
        at = _next_chunk(file, at + 8 + length)
    return found


def _counted(file: BinaryIO, start: int, declared: int, size_bytes: int, order: str) -> Envelope:
    """Compare the declared bytes of sound, from `start`, with those that are there."""
    excess, is_joined = _unexplained(file, start + declared, size_bytes, order)
    if is_joined:
        return Envelope(joined="several parts of sound")
    return compared(declared, size_bytes - start, excess)


def _unexplained(file: BinaryIO, end: int, size_bytes: int, order: str) -> tuple[int, bool]:
    """Bytes after the declared end of the sound that are no chunk, tag or padding, and whether sound is joined."""
    at = _next_chunk(file, end)
    while size_bytes - at > HEADER_TOLERANCE_BYTES:
        file.seek(at)
        head = file.read(8)
        name, length = struct.unpack(order + "4sI", head)
        if name in FILE_CHUNKS or name in (b"data", b"SSND"):
            return size_bytes - at, True
        if name[:3] in (b"TAG", b"ID3") or head == b"APETAGEX":
            return 0, False
        is_name = all(0x20 <= byte < 0x7F for byte in name)
        if not is_name or (at + 8 + length > size_bytes and name not in KNOWN_CHUNKS):
            is_padding = not any(block.strip(b"\0") for _, block in blocks_of(file, at))
            return 0 if is_padding else size_bytes - at, False
        at = _next_chunk(file, at + 8 + length)
    return 0, False


def wav(file: BinaryIO, size_bytes: int) -> Envelope:
    """A RIFF, RIFX, RF64 or BW64 file; what libsndfile cannot read of its header is replaced."""
    file.seek(0)
    head = file.read(12)
    order = ">" if head[:4] == b"RIFX" else "<"
    chunks = _chunks(file, size_bytes, b"data", order)
    if b"data" not in chunks:
        return Envelope()
    start, declared = chunks[b"data"]
    # libsndfile knows neither BW64 nor chunks that begin at an odd byte.
    is_odd = any(at % 2 for at, _ in chunks.values())
    needs_header = head[:4] == b"BW64" or is_odd
    is_long = head[:4] in (b"RF64", b"BW64") and declared == UNKNOWN_LENGTH and b"ds64" in chunks
    if is_long:
        # Lengths in ds64 are also filled in only when the recording is closed.
        file.seek(chunks[b"ds64"][0])
        declared = struct.unpack("<8xQ", file.read(16).ljust(16, b"\xff"))[0]
    riff_end = 8 + struct.unpack(order + "I", head[4:8])[0]
    if declared >= 1 << 63 if is_long else _is_placeholder(declared):
        envelope, end = Envelope(), size_bytes
    else:
        envelope, end = _counted(file, start, declared, size_bytes, order), min(start + declared, size_bytes)
    if declared == 0 and size_bytes > start:
        is_unset = riff_end <= start or _is_placeholder(riff_end) or envelope.held_ratio > 1
        if is_unset:
            envelope, end, needs_header = Envelope(), size_bytes, True
    if not needs_header:
        return envelope
    return replace(envelope, part=Part(_wav_header(file, chunks, order), start, end))


def _wav_header(file: BinaryIO, chunks: dict[bytes, tuple[int, int]], order: str) -> bytes:
    """A header with the format alone, of data up to the end."""
    body = b"WAVE"
    for name in (b"fmt ", b"fact"):
        if name in chunks:
            at, length = chunks[name]
            file.seek(at)
            content = file.read(min(length, 1 << 16))
            body += struct.pack(order + "4sI", name, len(content)) + content + b"\0" * (len(content) % 2)
    head = struct.pack(order + "4sI", b"RIFX" if order == ">" else b"RIFF", UNKNOWN_LENGTH)
    return head + body + struct.pack(order + "4sI", b"data", UNKNOWN_LENGTH)


def aiff(file: BinaryIO, size_bytes: int) -> Envelope:
    """An AIFF or AIFF-C file."""
    chunks = _chunks(file, size_bytes, b"SSND", ">")
    if b"SSND" not in chunks:
        return Envelope()
    start, declared = chunks[b"SSND"]
    envelope = Envelope() if _is_placeholder(declared) else _counted(file, start, declared, size_bytes, ">")
    file.seek(chunks.get(b"COMM", (size_bytes, 0))[0])
    common = file.read(6)
    frames = struct.unpack(">2xI", common)[0] if len(common) == 6 else 0
    return replace(envelope, declared_frames=0 if _is_placeholder(frames) else frames)
