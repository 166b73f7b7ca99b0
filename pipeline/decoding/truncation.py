"""Compares the lengths that containers declare with what the file holds, before decoding.

libsndfile opens a truncated WAV, AIFF or Ogg file as a shorter one without an error, and stops at the declared
length of one that holds more; so the declared length of each container is compared with the file. Some truncations
are undetectable: of an MP3 without a Xing header between two frames, of a WAV with a streaming header, and of a
file padded with zeros.
"""

import struct
from dataclasses import replace
from typing import BinaryIO, cast

from echopair.pipeline.decoding.containers import HEADER_TOLERANCE_BYTES, compared, envelope_of
from echopair.pipeline.decoding.envelope import Envelope, Part, PartOfFile, blocks_of
from echopair.pipeline.decoding.mpeg import mp3, tag_length
from echopair.pipeline.decoding.streams import flac, ogg

UNKNOWN_LENGTH = 0xFFFFFFFF
MAGIC_BYTES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"fLaC", b"OggS")
# Chunks that may be cut at the end of a file, or begin where a pad byte was forgotten.
KNOWN_CHUNKS = {
    b"fmt ",
    b"fact",
    b"data",
    b"LIST",
    b"bext",
    b"guan",
    b"iXML",
    b"id3 ",
    b"ID3 ",
    b"PEAK",
    b"cue ",
}
KNOWN_CHUNKS |= {
    b"junk",
    b"JUNK",
    b"FLLR",
    b"PAD ",
    b"smpl",
    b"wamd",
    b"axml",
    b"chna",
    b"_PMX",
    b"AFAn",
    b"SSND",
}
KNOWN_CHUNKS |= {b"COMM", b"NAME", b"ANNO", b"AUTH", b"(c) ", b"MARK", b"INST", b"APPL", b"FVER"}


def inspect(file: BinaryIO, size_bytes: int) -> Envelope:
    """Read the envelope of a recording by its content, not its name.

    Args:
        file: the recording, open for reading in binary mode; its position is changed.
        size_bytes: the size of the file.

    Sources: RIFF WAVE (IBM and Microsoft, 1991), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), AIFF 1.3 (Apple).
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _wav(file, size_bytes, head[:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, size_bytes)
    streams = {b"OggS": ogg, b"fLaC": flac}
    if envelope := streams.get(head[:4]) or envelope_of(head):
        return envelope(file, size_bytes)
    start = tag_length(head)
    file.seek(start)
    if start and file.read(4) in MAGIC_BYTES:
        return _behind_tag(file, start, size_bytes)
    return mp3(file, size_bytes)


def _behind_tag(file: BinaryIO, start: int, size_bytes: int) -> Envelope:
    """Taggers write ID3v2 in front of anything."""
    inner = inspect(cast(BinaryIO, PartOfFile(file, Part(b"", start, size_bytes))), size_bytes - start)
    part = inner.part or Part(b"", 0, size_bytes - start)
    return replace(inner, part=Part(part.head, part.start + start, part.end + start))


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
        if name in MAGIC_BYTES or name in (b"data", b"SSND"):
            return size_bytes - at, True
        if name[:3] in (b"TAG", b"ID3") or head == b"APETAGEX":
            return 0, False
        is_name = all(0x20 <= byte < 0x7F for byte in name)
        if not is_name or (at + 8 + length > size_bytes and name not in KNOWN_CHUNKS):
            is_padding = not any(block.strip(b"\0") for _, block in blocks_of(file, at))
            return 0 if is_padding else size_bytes - at, False
        at = _next_chunk(file, at + 8 + length)
    return 0, False


def _wav(file: BinaryIO, size_bytes: int, head: bytes) -> Envelope:
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


def _aiff(file: BinaryIO, size_bytes: int) -> Envelope:
    chunks = _chunks(file, size_bytes, b"SSND", ">")
    if b"SSND" not in chunks:
        return Envelope()
    start, declared = chunks[b"SSND"]
    envelope = Envelope() if _is_placeholder(declared) else _counted(file, start, declared, size_bytes, ">")
    file.seek(chunks.get(b"COMM", (size_bytes, 0))[0])
    common = file.read(6)
    frames = struct.unpack(">2xI", common)[0] if len(common) == 6 else 0
    return replace(envelope, declared_frames=0 if _is_placeholder(frames) else frames)
