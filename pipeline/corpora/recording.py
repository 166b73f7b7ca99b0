"""A recording as a corpus lists it, before decoding."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]

# What libsndfile decodes, by the file's name.
AUDIO_EXTENSIONS = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc")


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


class FolderListing(list[Recording]):
    """The recordings below a folder, and how many other files are there, by their extension."""

    def __init__(self, recordings: Iterable[Recording], passed_over: Mapping[str, int]) -> None:
        super().__init__(recordings)
        self.passed_over = passed_over


def name_as_text(name: str) -> str:
    """A file's name as text; bytes that are not UTF-8 become escapes such as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
