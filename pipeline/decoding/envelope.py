"""What a container declares about its sound, and views of a file that leave out or replace its header."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

SCAN_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """A part of a file behind other bytes, which is what libsndfile gets to read.

    Attributes:
        head: bytes in front, in place of a header that libsndfile cannot read or that is wrong.
        start, end: the part of the file that follows, in bytes.
    """

    head: bytes
    start: int
    end: int


@dataclass(frozen=True)
class Envelope:
    """Properties of the container.

    Attributes:
        cut: bytes that the container declares are missing.
        declared_ratio: declared over present bytes of sound, if the container counts bytes; else None.
        held_ratio: present over declared bytes of sound, above 1 if sound follows its declared end.
        may_be_cut: bytes seem to be missing; confirmed if also fewer samples are read than declared.
        declared_frames: sample frames by a header that libsndfile does not compare with what it finds.
        mpeg_seconds: duration of all MPEG audio frames; None where no frame is found.
        length_is_guessed: an MPEG stream without a header of its length, which libsndfile guesses.
        joined: why only the first part of the file would be read, as "several Ogg streams"; else None.
        part: what libsndfile reads in place of the whole file; else None.
    """

    cut: bool = False
    declared_ratio: float | None = None
    held_ratio: float = 1.0
    may_be_cut: bool = False
    declared_frames: int = 0
    mpeg_seconds: float | None = None
    length_is_guessed: bool = False
    joined: str | None = None
    part: Part | None = None


class PartOfFile(io.RawIOBase):
    """A `Part` as a file that can be read and sought; closing it closes the file."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._part, self._at = file, part, 0
        self.size_bytes = len(part.head) + part.end - part.start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        head = self._part.head[self._at : self._at + len(view)]
        if head:
            view[: len(head)] = head
        else:
            at = self._part.start + self._at - len(self._part.head)
            self._file.seek(at)
            head = self._file.read(max(0, min(len(view), self._part.end - at)))
            view[: len(head)] = head
        self._at += len(head)
        return len(head)

    def close(self) -> None:
        self._file.close()
        super().close()


def blocks_of(file: BinaryIO, start: int, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of the rest of a file; each block repeats the last `overlap` bytes of the one before."""
    file.seek(start)
    at, before = start, b""
    while data := file.read(SCAN_BYTES):
        yield at - len(before), before + data
        at += len(data)
        before = (before + data)[-overlap:] if overlap else b""
