"""The frames of an MPEG audio stream (MP3), and the header that may declare its length.

Sources: ISO 11172-3 and ISO 13818-3 (frames), the Xing, LAME and VBRI headers, ID3v2.4 and APEv2 (tags).
"""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from echopair.pipeline.decoding.envelope import Envelope, Part

# kbit/s by index, for (MPEG 1, MPEG 2 and 2.5) x (layer 2, layer 3).
KILOBITS = {
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
BUFFER_BYTES = 1 << 20
SYNC = re.compile(rb"\xff[\xe0-\xff]|ID3|TAG|APETAGEX")  # what may follow anything that is no frame
LAYER_3 = 2  # in the second byte of a frame
HAS_FRAMES, HAS_BYTES = 1, 2  # flags of a Xing header
HEADER_BYTES = 192  # of a frame's beginning, which the header of the length lies in


class Frame(NamedTuple):
    """An MPEG audio frame: its length in bytes, its sample frames, its sample rate."""

    length: int
    samples: int
    rate_hz: int


def mp3(file: BinaryIO, size_bytes: int) -> Envelope:
    """The envelope of what may be an MPEG stream, whatever stands before its first frame or between frames.

    libsndfile guesses the length of a stream that does not declare it, and reads no further than that; where it can,
    the stream gets a header with the number of frames that were counted.
    """
    frames = _frames(file, size_bytes)
    first = next(frames, None)
    if first is None:
        return Envelope()
    start, frame = first
    others, seconds = 0, 0.0
    for _, one in frames:
        others += 1
        seconds += one.samples / one.rate_hz
    file.seek(start)
    beginning = file.read(min(HEADER_BYTES, frame.length))
    for name in (b"Xing", b"Info"):
        found = beginning.find(name)
        if found > 0:
            flags, _, declared = struct.unpack(">III", beginning[found + 4 : found + 16].ljust(12, b"\0"))
            if flags & HAS_FRAMES:
                cut = flags & HAS_BYTES > 0 and declared > size_bytes - start
                return Envelope(may_be_cut=cut, mpeg_seconds=seconds)
            start += frame.length
            break
    else:
        if b"VBRI" in beginning:
            return Envelope(mpeg_seconds=seconds)
        others += 1
        seconds += frame.samples / frame.rate_hz
    info = _info_frame(beginning, others, size_bytes - start)
    part = Part(info, start, size_bytes) if info else None
    return Envelope(mpeg_seconds=seconds, length_is_guessed=part is None, part=part)


def _info_frame(header: bytes, frames: int, stream_bytes: int) -> bytes:
    """A frame without sound in front of a stream, which declares its length as Xing's does; b"" for layer 2."""
    if header[1] & 6 != LAYER_3:
        return b""
    is_mpeg1, is_mono = header[1] & 0x18 == 0x18, header[3] & 0xC0 == 0xC0
    side_information = bytes((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17))
    content = side_information + struct.pack(">4sIII", b"Xing", HAS_FRAMES | HAS_BYTES, frames, stream_bytes)
    for kilobits_index in range(1, 15):  # the smallest frame that holds it
        # As the first frame's, but without a checksum.
        head = bytes([header[0], header[1] | 1, kilobits_index << 4 | header[2] & 0x0C, header[3]])
        frame = frame_of(head)
        if frame is not None and frame.length >= len(head + content):
            return (head + content).ljust(frame.length, b"\0")
    return b""


def tag_length(head: bytes) -> int:
    """Length of an ID3v2 tag from its first 10 bytes; 0 if it is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    # The length has seven bits per byte; a footer repeats the header.
    length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + length + (10 if head[5] & 0x10 else 0)


def _frames(file: BinaryIO, size_bytes: int) -> Iterator[tuple[int, Frame]]:
    """Offset and properties of each frame; tags and whatever else is no frame are passed over."""
    at, buffer, buffer_start, in_stream = 0, b"", 0, False
    while at + 4 <= size_bytes:
        if at < buffer_start or at + HEADER_BYTES > buffer_start + len(buffer):
            file.seek(at)
            buffer, buffer_start = file.read(BUFFER_BYTES), at
        head = buffer[at - buffer_start : at - buffer_start + 10]
        frame = frame_of(head)
        # A frame outside the stream counts only if another follows it, as four bytes of noise may look like one.
        if frame and (in_stream or _is_followed(file, at, frame, size_bytes)):
            yield at, frame
            at, in_stream = at + frame.length, True
        elif length := tag_length(head):
            at, in_stream = at + length, False
        elif head[:3] == b"TAG" or head[:8] == b"APETAGEX":  # at the end of a file
            return
        else:
            found = SYNC.search(buffer, at + 1 - buffer_start)
            at = buffer_start + (found.start() if found else len(buffer) - len(b"APETAGE"))
            in_stream = False
            if not found and buffer_start + len(buffer) >= size_bytes:
                return


def begins_stream(file: BinaryIO, at: int, size_bytes: int) -> bool:
    """Whether a frame begins at an offset, and another of its kind behind it."""
    file.seek(at)
    frame = frame_of(file.read(4))
    return frame is not None and _is_followed(file, at, frame, size_bytes)


def _is_followed(file: BinaryIO, at: int, frame: Frame, size_bytes: int) -> bool:
    if at + frame.length >= size_bytes - 4:
        return at + frame.length == size_bytes
    file.seek(at + frame.length)
    after = frame_of(file.read(4))
    return after is not None and after.rate_hz == frame.rate_hz and after.samples == frame.samples


def frame_of(header: bytes) -> Frame | None:
    """The MPEG frame of layer 2 or 3 that four bytes begin; None for anything else."""
    if len(header) < 4:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kilobits_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    in_sync = header[0] == 0xFF and header[1] & 0xE0 == 0xE0 and version != 1 and layer in (2, 3)
    if not in_sync or kilobits_index in (0, 15) or rate_index == 3:
        return None
    kilobits = KILOBITS[1 if version == 3 else 2, layer][kilobits_index]
    samples = 576 if layer == 3 and version != 3 else 1152
    rate_hz = RATES_HZ[version][rate_index]
    return Frame(samples // 8 * kilobits * 1000 // rate_hz + (header[2] >> 1 & 1), samples, rate_hz)
