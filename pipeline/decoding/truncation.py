"""Compares the lengths that containers declare with what the file holds, before decoding.

libsndfile opens a truncated WAV, AIFF or Ogg file as a shorter one without an error, and stops at the declared
length of one that holds more; so the declared length of each container is compared with the file. Some truncations
are undetectable: of an MP3 without a Xing header between two frames, of a WAV with a streaming header, and of a
file padded with zeros.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, NamedTuple, cast

from echopair.pipeline.decoding import chunks, containers, streams
from echopair.pipeline.decoding.envelope import Envelope, Part, PartOfFile
from echopair.pipeline.decoding.mpeg import mp3, tag_length

HEAD_BYTES = 16  # decide which container a file is


class Container(NamedTuple):
    """A container that libsndfile reads and whose length is checked.

    Attributes:
        name: for messages.
        beginning: pattern of the first bytes.
        envelope: reads the envelope of an open file of so many bytes.
        formats: what libsndfile calls it.
        demuxer: what ffmpeg calls it, which decodes the codecs that libsndfile does not.
    """

    name: str
    beginning: bytes
    envelope: Callable[[BinaryIO, int], Envelope]
    formats: tuple[str, ...]
    demuxer: str


# All that is read without ffmpeg, but for MPEG audio, which has no container.
CONTAINERS = (
    Container("WAV", rb"(RIFF|RIFX|RF64|BW64)....WAVE", chunks.wav, ("WAV", "WAVEX", "RF64"), "wav"),
    Container("AIFF", rb"FORM....AIF[FC]", chunks.aiff, ("AIFF",), "aiff"),
    Container("FLAC", rb"fLaC", streams.flac, ("FLAC",), "flac"),
    Container("Ogg", rb"OggS", streams.ogg, ("OGG",), "ogg"),
    Container("W64", re.escape(containers.W64_RIFF), containers.w64, ("W64",), "w64"),
    Container("AU", rb"\.snd|dns\.", containers.au, ("AU",), "au"),
    Container("CAF", rb"caff\x00\x01", containers.caf, ("CAF",), "caf"),
    Container("NIST SPHERE", rb"NIST_1A\n", containers.nist, ("NIST",), "nistsphere"),
)


def container_of(head: bytes) -> Container | None:
    """The container of a file that begins with these 16 bytes or more; None for MPEG audio and unknown content."""
    return next((one for one in CONTAINERS if re.match(one.beginning, head, re.DOTALL)), None)


def inspect(file: BinaryIO, size_bytes: int) -> Envelope:
    """Read the envelope of a recording by its content, not its name.

    Args:
        file: the recording, open for reading in binary mode; its position is changed.
        size_bytes: the size of the file.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if container := container_of(head):
        return container.envelope(file, size_bytes)
    start = tag_length(head)
    file.seek(start)
    if start and container_of(file.read(HEAD_BYTES)):
        return _behind_tag(file, start, size_bytes)
    return mp3(file, size_bytes)


def _behind_tag(file: BinaryIO, start: int, size_bytes: int) -> Envelope:
    """Taggers write ID3v2 in front of anything."""
    inner = inspect(cast(BinaryIO, PartOfFile(file, Part(b"", start, size_bytes))), size_bytes - start)
    part = inner.part or Part(b"", 0, size_bytes - start)
    return replace(inner, part=Part(part.head, part.start + start, part.end + start))
