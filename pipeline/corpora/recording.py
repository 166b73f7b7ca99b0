"""A recording as a corpus lists it, before decoding."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

from echopair.audio_files import FFMPEG_FORMATS, has_ffmpeg

Split = Literal["train", "validation", "test"]


def _not_empty(root: Any) -> Any:
    # An unset variable of a shell leaves an empty text, which as a path is the current folder.
    if root == "":
        raise ValueError("it is empty; name the folder with the recordings")
    return root


Root = Annotated[Path, BeforeValidator(_not_empty)]


class RemoteFile(NamedTuple):
    """A file on remote storage.

    Args:
        uri: of the storage, as the user gave it.
        path: in that storage.
        place: what tables call the file; without credentials.
        size: bytes, -1 if the storage does not tell.
        time_ns: of its last change, 0 if the storage does not tell.
    """

    uri: str
    path: str
    place: str
    size: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A file with its labels, fold, split and group."""

    path: Path
    name: str  # the path below the corpus's root
    labels: tuple[str, ...] = ()
    fold: str | None = None
    split: Split | None = None
    group: str | None = None  # the source, which several recordings may share
    excerpt: tuple[float, float] | None = None  # begin and end in seconds, of an event in a longer file
    refusal: str = ""  # why it cannot be used, where that is known before decoding
    remote: RemoteFile | None = None  # where it is, if `path` is no file of this machine, or a copy of that

    @property
    def place(self) -> str:
        """What tables call its file."""
        return name_as_text(str(self.path)) if self.remote is None else self.remote.place


class Refusal(NamedTuple):
    """A recording that was refused, and the reason."""

    path: str
    reason: str


class FolderListing(list[Recording]):
    """The recordings below a folder, and how many other files are there, by their extension."""

    def __init__(self, recordings: Iterable[Recording], passed_over: Mapping[str, int]) -> None:
        super().__init__(recordings)
        self.passed_over = passed_over


def ffmpeg_version(recordings: Iterable[Recording]) -> str | None:
    """The version of the ffmpeg that decodes recordings by their extension; None if there is no ffmpeg.

    "any version" where no extension needs it: it may still decode some by their content.
    """
    if not has_ffmpeg():
        return None
    if not any(one.path.suffix.lower() in FFMPEG_FORMATS for one in recordings):
        return "any version"
    return subprocess.run(
        ["ffmpeg", "-version"], capture_output=True, text=True, check=False
    ).stdout.partition("\n")[0]


def name_as_text(name: str) -> str:
    """A file's name as text; bytes that are not UTF-8 become escapes such as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
