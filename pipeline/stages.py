"""Stages that know what is done: fingerprints, done-markers and folders that appear whole or not at all."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

MARKER_FILE = "done.json"
LEFT_PROCESSES_SECONDS = 3.0  # as long as `pipeline.workers.end_with` takes, and more


def fingerprint(*parts: Any) -> str:
    """Name of a stage's input and config: 16 hexadecimal digits, equal exactly for equal parts.

    Args:
        parts: anything that JSON can hold, pydantic models included.
    """
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(part: Any) -> Any:
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part


@dataclass(frozen=True)
class Done:
    """A finished stage: where its output lies and what its marker says."""

    folder: Path
    marker: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the output's content; what the next stage's fingerprint is made of."""
        return str(self.marker["digest"])


class StageWork:
    """A stage under way: a folder beside the final one, and what the marker will say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: dict[str, Any] = {}
        self.digest = ""

    def finish(self, digest: str, **notes: Any) -> None:
        """Declare the output complete: its content's digest and figures to keep in the marker."""
        self.digest = digest
        self.notes = notes


def read_done(folder: Path) -> Done | None:
    """The finished stage in a folder, or None if it has no readable marker."""
    try:
        marker = json.loads((folder / MARKER_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return Done(folder, marker)


@contextmanager
def stage_work(folder: Path, stage_fingerprint: str, *, keep_partial: bool = False) -> Iterator[StageWork]:
    """Write a stage's output beside its final name, then rename.

    A process that dies leaves only `<folder>.partial`; `keep_partial` hands that on to the next one, which
    is how a killed training run goes on. Nothing is renamed unless `finish` was called.
    """
    partial = folder.with_name(folder.name + ".partial")
    if partial.exists() and not keep_partial:
        _remove_left(partial)
    partial.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    work = StageWork(partial)
    yield work
    if not work.digest:
        raise RuntimeError(f"stage {folder.name} ended without finish()")
    marker = {
        "fingerprint": stage_fingerprint,
        "digest": work.digest,
        "seconds": round(time.monotonic() - started, 2),
        **work.notes,
    }
    write_atomically(partial / MARKER_FILE, json.dumps(marker, indent=2) + "\n")
    if folder.exists():  # left without a readable marker
        shutil.rmtree(folder)
    partial.rename(folder)


def _remove_left(partial: Path) -> None:
    """Remove what a killed process left; its own processes outlive it for a moment, and still write there."""
    patience = time.monotonic() + LEFT_PROCESSES_SECONDS
    while partial.exists():
        try:
            shutil.rmtree(partial)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or time.monotonic() > patience:
                raise
            time.sleep(0.1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a stage's folder for this process; another one that wants the same waits, then finds it done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_if_free(folder: Path) -> Iterator[bool]:
    """Hold a stage's folder as `locked` does, unless another process does; says whether it is held."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        yield free


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: whoever reads it sees the old content or the new, never half of it."""
    aside = path.with_name(path.name + ".new")
    with aside.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def digest_files(*paths: Path) -> str:
    """SHA-256 over the content of files, in the order given; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
