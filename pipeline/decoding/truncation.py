"""Detection of truncated recordings by the lengths that their containers declare, before decoding.

libsndfile opens a truncated WAV, AIFF or Ogg file as a shorter one without an error, so the declared length of
each container is compared with the size of the file. Some truncations are undetectable: of an MP3 without a
Xing header between two frames, of a WAV with a streaming header, and of a file padded with zeros.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

OGG_END_OF_STREAM = 4
# MPEG audio frame headers: kbit/s by index, for (MPEG 1, MPEG 2 and 2.5) x (layer 2, layer 3).
KILOBITS = {
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class Envelope:
    """Properties of the container.

    Attributes:
        cut: bytes that the container declares are missing.
        declared_ratio: declared over present bytes of sound, if the container counts bytes; else None.
        may_be_cut: bytes seem to be missing; confirmed if also fewer samples are read than declared.
        frames_counted: sample frames of an MP3 whose header declares no length; else None.
        several_streams: an Ogg file of several streams, of which libsndfile reads only the first.
        unset_length_at: offset of a WAV's data length that was never filled in and that libsndfile reads as
            "no sound"; else None.
    """

    cut: bool = False
    declared_ratio: float | None = None
    may_be_cut: bool = False
    frames_counted: int | None = None
    several_streams: bool = False
    unset_length_at: int | None = None


def inspect(file: BinaryIO, size_bytes: int) -> Envelope:
    """Read the envelope of a recording by its content, not its name.

    Args:
        file: the recording, open for reading in binary mode; its position is changed.
        size_bytes: the size of the file.

    Returns:
        Properties of its container; the default `Envelope` for FLAC, which libsndfile checks itself.

    Sources: RIFF WAVE (IBM and Microsoft, 1991), EBU Tech 3306 (RF64), AIFF 1.3 (Apple), RFC 3533 (Ogg),
    ISO 11172-3 and the Xing header (MP3).
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12:
        return Envelope()
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
        return _wav(file, size_bytes, head)
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _aiff(file, size_bytes)
    if head[:4] == b"OggS":
        return _ogg(file, size_bytes)
    if head[:3] == b"ID3" or (head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return _mp3(file, size_bytes, head)
    return Envelope()


def _is_placeholder(length: int) -> bool:
    # Writers to a pipe do not know the length; they write the largest number, less a header, in whole frames.
    # Numbers between and below are lengths of real recordings: 24 h at 16 kHz have 2.8e9 bytes.
    return 0x7FFFF000 <= length <= 0x80001000 or length >= 0xFFFFF000


def _find_chunk(file: BinaryIO, size_bytes: int, wanted: bytes, order: str) -> tuple[int, int, int]:
    """Walk the chunks to `wanted`; returns its offset, its declared length, and an RF64's 64-bit length."""
    at, long_length = 12, 0
    while at + 8 <= size_bytes:
        file.seek(at)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if name == wanted:
            return at + 8, length, long_length
        if name == b"ds64":
            body = file.read(16)
            long_length = struct.unpack("<8xQ", body)[0] if len(body) == 16 else 0
        at += 8 + length + length % 2
    return 0, 0, 0


def _counted(start: int, declared: int, size_bytes: int) -> Envelope:
    present = size_bytes - start
    if declared <= present:
        return Envelope()
    return Envelope(cut=True, declared_ratio=declared / present if present else None)


def _wav(file: BinaryIO, size_bytes: int, head: bytes) -> Envelope:
    order = ">" if head[:4] == b"RIFX" else "<"
    start, declared, long_length = _find_chunk(file, size_bytes, b"data", order)
    if not start:
        return Envelope()
    if head[:4] == b"RF64" and declared == 0xFFFFFFFF:
        # Lengths in ds64 are also filled in only when the recording is closed.
        return Envelope() if long_length >= 1 << 63 else _counted(start, long_length, size_bytes)
    if _is_placeholder(declared):
        return Envelope()
    riff_end = 8 + struct.unpack(order + "I", head[4:8])[0]
    if declared == 0 and size_bytes > start and (riff_end <= start or _is_placeholder(riff_end)):
        return Envelope(unset_length_at=start - 4)
    return _counted(start, declared, size_bytes)


def _aiff(file: BinaryIO, size_bytes: int) -> Envelope:
    start, declared, _ = _find_chunk(file, size_bytes, b"SSND", ">")
    return Envelope() if not start or _is_placeholder(declared) else _counted(start, declared, size_bytes)


def _ogg(file: BinaryIO, size_bytes: int) -> Envelope:
    """An Ogg stream ends with a flagged page; without it, the end of the stream is missing."""
    file.seek(0)
    first_serial = file.read(18)[14:]
    window, end = 1 << 17, size_bytes  # two of the largest pages; further back only for a foreign tail
    while end > 0:
        begin = max(0, end - window)
        file.seek(begin)
        found = file.read(end - begin + 3).rfind(b"OggS")
        if found >= 0:
            break
        end = begin
    else:
        return Envelope(cut=True)
    file.seek(begin + found)
    page = file.read(27 + 255)
    lacing = page[27 : 27 + page[26]] if len(page) >= 27 else b""
    whole = len(page) >= 27 and len(lacing) == page[26]
    if not whole or begin + found + 27 + len(lacing) + sum(lacing) > size_bytes:
        return Envelope(cut=True)
    return Envelope(cut=not page[5] & OGG_END_OF_STREAM, several_streams=page[14:18] != first_serial)


def _mp3(file: BinaryIO, size_bytes: int, head: bytes) -> Envelope:
    start = 0
    if head[:3] == b"ID3":
        # The tag's length has seven bits per byte.
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    file.seek(start)
    first = file.read(192)
    for name in (b"Xing", b"Info"):
        found = first.find(name)
        if found > 0:
            flags, _, declared = struct.unpack(">III", first[found + 4 : found + 16].ljust(12, b"\0"))
            return Envelope(may_be_cut=flags & 3 == 3 and declared > size_bytes - start)
    if b"VBRI" in first:
        return Envelope()
    return Envelope(frames_counted=_count_mpeg_frames(file, start))


def _count_mpeg_frames(file: BinaryIO, start: int) -> int | None:
    """Sample frames of consecutive MPEG frames from `start`; None if there is no frame."""
    at, total = start, 0
    file.seek(start)
    buffer, buffer_start = file.read(1 << 20), start
    while True:
        if at + 4 > buffer_start + len(buffer):
            file.seek(at)
            buffer, buffer_start = file.read(1 << 20), at
        header = buffer[at - buffer_start : at - buffer_start + 4]
        length, samples = _mpeg_frame(header) if len(header) == 4 else (0, 0)
        if not length:
            return total or None
        at, total = at + length, total + samples


def _mpeg_frame(header: bytes) -> tuple[int, int]:
    """Length in bytes and sample frames of an MPEG layer 2 or 3 frame; (0, 0) for anything else."""
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kilobits_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    in_sync = header[0] == 0xFF and header[1] & 0xE0 == 0xE0 and version != 1 and layer in (2, 3)
    if not in_sync or kilobits_index in (0, 15) or rate_index == 3:
        return 0, 0
    kilobits = KILOBITS[1 if version == 3 else 2, layer][kilobits_index]
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * kilobits * 1000 // RATES_HZ[version][rate_index] + (header[2] >> 1 & 1), samples
