"""A corpus that is any tree of audio files; the name of the parent folder is the label."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from echopair.pipeline.corpora.recording import AUDIO_EXTENSIONS, Recording
from echopair.pipeline.errors import UserError


class FolderCorpusConfig(BaseModel, frozen=True, extra="forbid"):
    """All audio files below a folder, by their extension, in any depth."""

    name: Literal["folder"] = "folder"
    root: Path = Field(description="the folder")
    labels: Literal["parent_folder", "none"] = Field("parent_folder", description="where labels come from")


def find_folder_recordings(corpus: str, config: FolderCorpusConfig) -> list[Recording]:
    """The audio files below the root, sorted by path; other files are no recordings.

    Raises:
        UserError: the folder is missing, is no folder, or holds no audio.
    """
    root = existing_folder(corpus, config.root)
    recordings = []
    walked = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        if os.path.realpath(folder) in walked:  # a link back up the tree
            subfolders.clear()
            continue
        walked.add(os.path.realpath(folder))
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
            f"put recordings ({', '.join(e[1:] for e in AUDIO_EXTENSIONS)}) there or name another folder"
        )
    return recordings


def existing_folder(corpus: str, root: Path) -> Path:
    """The root of a corpus, if it is a folder that can be listed; a UserError otherwise."""
    root = root.expanduser().absolute()
    if not root.exists():
        raise UserError(
            f"corpora.{corpus}.root={root}: there is no such folder; name the one that holds the recordings"
        )
    if not root.is_dir():
        raise UserError(f"corpora.{corpus}.root={root} is a file; name the folder that holds the recordings")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(
            f"corpora.{corpus}.root={root} cannot be read; change its permissions or name another folder"
        )
    return root
