"""A corpus of all audio files below a folder; the name of the parent folder is the label."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from echopair.pipeline.corpora.recording import AUDIO_EXTENSIONS, Recording
from echopair.pipeline.errors import UserError


class FolderCorpusConfig(BaseModel, frozen=True, extra="forbid"):
    """All audio files below a folder, selected by extension, in any depth."""

    name: Literal["folder"] = "folder"
    root: Path = Field(description="the folder")
    labels: Literal["parent_folder", "none"] = Field("parent_folder", description="where labels come from")


def find_folder_recordings(corpus: str, config: FolderCorpusConfig) -> list[Recording]:
    """List the audio files below the root, in an order that does not depend on the file system.

    Raises:
        UserError: the folder does not exist, is a file, or contains no audio.
    """
    root = existing_folder(corpus, config.root)
    recordings = []
    visited = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        if os.path.realpath(folder) in visited:  # a link back up the tree
            subfolders.clear()
            continue
        visited.add(os.path.realpath(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for file in sorted(files):
            if file.startswith(".") or not file.lower().endswith(AUDIO_EXTENSIONS):
                continue
            path = Path(folder, file)
            is_labelled = config.labels == "parent_folder" and Path(folder) != root
            labels = (path.parent.name,) if is_labelled else ()
            recordings.append(Recording(path, str(path.relative_to(root)), labels))
    if not recordings:
        raise UserError(
            f"corpora.{corpus}.root={root}: no audio below this folder; "
            f"add recordings ({', '.join(e[1:] for e in AUDIO_EXTENSIONS)}) or name another folder"
        )
    return recordings


def existing_folder(corpus: str, root: Path) -> Path:
    """The absolute root of a corpus.

    Raises:
        UserError: it is not a folder that can be listed.
    """
    root = root.expanduser().absolute()
    if not root.exists():
        raise UserError(
            f"corpora.{corpus}.root={root}: there is no such folder; name the folder with the recordings"
        )
    if not root.is_dir():
        raise UserError(f"corpora.{corpus}.root={root} is a file; name the folder with the recordings")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(
            f"corpora.{corpus}.root={root} cannot be read; change its permissions or name another folder"
        )
    return root
