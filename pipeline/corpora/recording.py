"""A recording as a corpus lists it, before anything was read of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]

# What libsndfile decodes, by the file's name.
AUDIO_EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, and what the corpus says about it."""

    path: Path
    name: str  # the path below the corpus's root, as people know it
    labels: tuple[str, ...] = ()
    fold: str | None = None
    split: Split | None = None
    group: str | None = None  # recordings cut from one source share it
