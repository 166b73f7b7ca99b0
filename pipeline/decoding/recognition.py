"""Recognises recordings by their first bytes, whatever the name of the file."""

from pathlib import Path
from typing import BinaryIO

from echopair.pipeline.decoding.mpeg import begins_stream, tag_length
from echopair.pipeline.decoding.streams import first_packet
from echopair.pipeline.decoding.truncation import container_of

HEAD_BYTES = 4096  # of zeros, too, between a tag and the sound
OGG_CODECS = (b"\1vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")  # other streams are videos


def is_audio(path: Path) -> bool:
    """Whether a file begins as one of `CONTAINERS`, if Ogg then with sound, or as MPEG audio.

    An ID3 tag in front is passed over; an MPEG stream counts if two frames follow one another. Reads some kilobytes;
    False for what is no regular file or cannot be read.
    """
    try:
        if not path.is_file():  # opening a pipe would wait
            return False
        with path.open("rb") as file:
            return _is_audio(file, path.stat().st_size)
    except OSError:
        return False


def _is_audio(file: BinaryIO, size_bytes: int) -> bool:
    at = tag_length(file.read(10))
    file.seek(at)
    head = file.read(HEAD_BYTES)
    if at:
        at += len(head) - len(head.lstrip(b"\0"))
        head = head.lstrip(b"\0")
    if head[:4] == b"OggS":
        return first_packet(head).startswith(OGG_CODECS)
    return container_of(head) is not None or begins_stream(file, at, size_bytes)
