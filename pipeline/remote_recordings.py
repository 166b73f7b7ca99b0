"""Recordings on remote storage (S3, Google Cloud, Azure, HDFS ...): listed by URI, and copied here to be decoded."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from echopair.audio_files import AUDIO_EXTENSIONS, FFMPEG_FORMATS, has_ffmpeg
from echopair.pipeline.corpora.recording import Recording, RemoteFile
from echopair.pipeline.errors import UserError, first_line

URI = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*://")
SECRET = re.compile(r"(?<=://)[^/@]*:[^/@]*@")  # key:secret@bucket
FETCHED_AT_ONCE = 8  # requests of one process: a small file costs a round trip, and little else
KINDS = "s3://, gs://, abfs://, hdfs:// and file://"


def is_uri(source: str | Path) -> bool:
    """Whether a source is on remote storage, by its form."""
    return URI.match(str(source)) is not None


def list_remote(uri: str) -> list[Recording]:
    """The recordings of a URI: the file that it names, or all files below it with an extension of audio.

    Args:
        uri: as `pyarrow.fs.FileSystem.from_uri` takes it. Credentials are those of the environment.

    Raises:
        UserError: it cannot be opened or listed, or holds no audio.
    """
    from pyarrow.fs import FileSelector, FileType

    shown = _shown(uri)
    extensions = (*AUDIO_EXTENSIONS, *(FFMPEG_FORMATS if has_ffmpeg() else ()))
    try:
        filesystem, path = _open(uri)
        found = [filesystem.get_file_info(path)]
        if found[0].type != FileType.File or not path.lower().endswith(extensions):  # HTTP has no folders
            found = filesystem.get_file_info(FileSelector(path, recursive=True))
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        raise UserError(
            f"{shown} cannot be listed ({first_line(error)}); check its spelling, the network and your credentials. "
            f"echopair reads {KINDS}, and fsspec+http:// and other kinds of fsspec"
        ) from error
    recordings = [
        _recording(uri, one)
        for one in sorted(found, key=lambda one: str(one.path))
        if one.type == FileType.File
        and one.path.lower().endswith(extensions)
        and not one.base_name.startswith(".")
    ]
    if not recordings:
        raise UserError(
            f"{shown}: no audio there; name a folder with recordings ({', '.join(e[1:] for e in AUDIO_EXTENSIONS)})"
        )
    return recordings


@contextmanager
def local_copies(recordings: Sequence[Recording], folder: Path) -> Iterator[list[Recording]]:
    """Recordings as files of this machine, while the body runs; a remote one that is gone is refused.

    Args:
        recordings: local or remote.
        folder: from which relative paths count.

    Raises:
        UserError: the storage cannot be reached, or the disk is full.
    """
    if not any(one.remote for one in recordings):
        yield [replace(one, path=folder / one.path) for one in recordings]
        return
    with tempfile.TemporaryDirectory(prefix="echopair-") as temporary:

        def fetch(numbered: tuple[int, Recording]) -> Recording:
            number, recording = numbered
            if recording.remote is None:
                return replace(recording, path=folder / recording.path)
            return _fetched(recording, recording.remote, Path(temporary, f"{number}{recording.path.suffix}"))

        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            yield list(pool.map(fetch, enumerate(recordings)))


def _recording(uri: str, info: Any) -> Recording:
    place = info.path if is_uri(info.path) else f"{uri.partition('://')[0]}://{info.path}"
    remote = RemoteFile(uri, info.path, place, -1 if info.size is None else info.size, info.mtime_ns or 0)
    return Recording(Path(info.path), place, remote=remote)


def _fetched(recording: Recording, remote: RemoteFile, copy: Path) -> Recording:
    try:
        filesystem, _ = _open(remote.uri)
        with filesystem.open_input_stream(remote.path) as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except FileNotFoundError:
        return replace(recording, refusal="it is gone from its storage")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{remote.place} cannot be copied to {copy.parent} ({first_line(error)}); check the network, "
            "your credentials and the disk (TMPDIR); the same command continues then"
        ) from error
    return replace(recording, path=copy)


@cache
def _open(uri: str) -> tuple[Any, str]:
    """The file system of a URI and the path in it."""
    from pyarrow.fs import FileSystem

    filesystem, path = FileSystem.from_uri(uri)
    return filesystem, path


def _shown(uri: str) -> str:
    return SECRET.sub("", uri)
