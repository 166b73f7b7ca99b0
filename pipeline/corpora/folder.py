"""A corpus of all audio files below a folder; the name of the parent folder is the label."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from echopair.audio_files import AUDIO_EXTENSIONS, FFMPEG_FORMATS, has_ffmpeg
from echopair.pipeline.corpora.recording import (
    FolderListing,
    Recording,
    Root,
    name_as_text,
)
from echopair.pipeline.decoding.recognition import is_audio
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console

# Copies and unfinished files of editors, recorders and browsers: their sound is elsewhere, or not whole.
BACKUP_ENDINGS = (
    "~",
    *(f".{name}" for name in ("bak", "old", "orig", "tmp", "part", "partial", "crdownload")),
)
NO_LABEL = (
    "no label: it is at the root, not in the folder of a class; move it to one, or set labels=none for all"
)


class FolderCorpusConfig(BaseModel, frozen=True, extra="forbid"):
    """All audio files below a folder, by extension or content, in any depth."""

    name: Literal["folder"] = "folder"
    root: Root = Field(description="the folder")
    labels: Literal["parent_folder", "none"] = Field("parent_folder", description="where labels come from")


def find_folder_recordings(corpus: str, config: FolderCorpusConfig) -> FolderListing:
    """List the audio files below the root; see `list_folder`.

    Raises:
        UserError: the folder does not exist, is a file, or contains no audio, or one below it cannot be listed.
    """
    root = existing_folder(corpus, config.root)
    return list_folder(root, f"corpus {corpus}", f"corpora.{corpus}.root={root}", config.labels)


def list_folder(
    root: Path, title: str, where: str, labels_from: Literal["parent_folder", "none"] = "none"
) -> FolderListing:
    """List the audio files below a folder, in an order that does not depend on the file system.

    A file without a label is refused where others have one.

    Args:
        root: an existing folder.
        title: begins what is printed.
        where: begins an error's message: the folder as the user gave it.
        labels_from: where labels come from.

    Raises:
        UserError: the folder contains no audio, or one below it cannot be listed.
    """

    def refuse(error: OSError) -> None:
        folder = name_as_text(str(error.filename))
        raise UserError(
            f"{where}: the folder {folder} cannot be listed ({error.strerror}); "
            "change its permissions or move it elsewhere"
        ) from error

    extensions = (*AUDIO_EXTENSIONS, *(FFMPEG_FORMATS if has_ffmpeg() else ()))
    recordings = []
    passed_over: Counter[str] = Counter()
    by_content: list[str] = []
    backups: list[str] = []
    real_folders = {os.path.realpath(folder) for folder, _, _ in os.walk(root, onerror=refuse)}
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        # Once a folder: paths take most of the time to list many files.
        parent = Path(folder)
        name_of_parent = "" if parent == root else f"{parent.relative_to(root)}{os.sep}"
        is_link = bool(name_of_parent) and parent.is_symlink()
        if real in visited or (is_link and real in real_folders):
            console.print(
                f"{title}: {name_as_text(folder)} is a link to a folder that is read elsewhere; passed over",
                style="yellow",
                markup=False,
            )
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for file in sorted(files):
            if file.startswith("."):
                continue
            path = parent / file
            if not file.lower().endswith(extensions):
                kind = name_as_text(path.suffix.lower()) or "no extension"
                if not is_audio(path):
                    passed_over[kind] += 1
                    continue
                if file.lower().endswith(BACKUP_ENDINGS):
                    passed_over[f"{kind} (audio by content)"] += 1
                    backups.append(file)
                    continue
                by_content.append(file)
            is_labelled = labels_from == "parent_folder" and name_of_parent
            labels = (name_as_text(parent.name),) if is_labelled else ()
            recordings.append(Recording(path, name_of_parent + file, labels))
    if by_content:
        console.print(f"{title}: recognised as audio by content: {_counted(by_content)}", markup=False)
    if backups:
        console.print(
            f"{title}: passed over as backups or parts of audio by their names: {_counted(backups)}; "
            "rename what is to be read",
            style="yellow",
            markup=False,
        )
    if passed_over:
        counts = ", ".join(f"{count} {extension}" for extension, count in passed_over.most_common())
        lack = (
            "" if passed_over.keys().isdisjoint(FFMPEG_FORMATS) else "; ffmpeg on the PATH reads some of them"
        )
        console.print(f"{title}: files passed over by extension: {counts}{lack}", markup=False)
    if not recordings:
        raise UserError(
            f"{where}: no audio below this folder; "
            f"add recordings ({', '.join(e[1:] for e in AUDIO_EXTENSIONS)}) or name another folder"
        )
    if any(one.labels for one in recordings):
        recordings = [one if one.labels else replace(one, refusal=NO_LABEL) for one in recordings]
    return FolderListing(recordings, passed_over)


def _counted(files: list[str]) -> str:
    return f"{len(files)} ({name_as_text(files[0])}{', ...' if len(files) > 1 else ''})"


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
