"""The one mechanism by which work that is done is not done again: keys, done-markers, locks and folders.

A stage declares once what decides its output and where that lies; its key and its folder are derived from this. The
output is written beside its final name and renamed, and the marker, written last, says that it is whole.

A digest is a hash of content, of files or of values. A key is the digest of all inputs that decide an output: a stage,
a run and a sweep each have one, by which their folder and their run in MLflow are found again.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from echopair.pipeline.progress import console

MARKER_FILE = "done.json"
NAME_BYTES = 200
LEFT_PROCESSES_SECONDS = 3.0  # as long as `pipeline.cores.end_with` takes, and more


@dataclass(frozen=True)
class Done:
    """The output of a stage: its folder and what its marker holds."""

    folder: Path
    marker: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the output's content, which the keys of later stages are made of."""
        return str(self.marker["digest"])


@dataclass(frozen=True)
class StageOutput:
    """What a stage makes, declared before it is made.

    Args:
        title: what the terminal calls the stage, as "embed esc10, pretrained".
        folder: of the output, but for the key, which is added to its name.
        inputs: all that decides the output: slices of the config, digests of what the stage reads.
        code_version: raised whenever the stage's code makes another output of the same inputs.
        libraries: distributions whose installed versions decide the output too.
        keep_partial: a killed attempt's folder is handed on to the next one, which is how a training resumes.
    """

    title: str
    folder: Path
    inputs: Sequence[Any]
    code_version: int
    libraries: tuple[str, ...] = ()
    keep_partial: bool = False

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits, equal exactly for equal outputs."""
        versions = {library: version(library) for library in self.libraries}
        return digest_values(self.folder.parent.name, self.code_version, versions, list(self.inputs))

    @property
    def path(self) -> Path:
        """The folder that appears when the stage is done."""
        return self.folder.with_name(f"{self.folder.name}-{self.key}")

    def make(self, work: Callable[[Path], Mapping[str, Any]], did: list[str] | None = None) -> Done:
        """The output, made now unless it is there; a process that wants the same at once waits for it.

        Args:
            work: writes the output to an existing folder; returns its `digest` and figures for the marker.
            did: gets the title if the stage was worked on.
        """
        with locked(self.path, self.title):
            done = read_done(self.path)
            if done is not None:
                console.print(f"[dim]{self.title}: done before[/]")
                return done
            done = self._make(work)
        if did is not None:
            did.append(self.title)
        figures = dict(done.marker)
        seconds = figures.pop("seconds")
        console.print(f"{self.title}: {_in_words(figures)}{seconds:.1f} s")
        return done

    def _make(self, work: Callable[[Path], Mapping[str, Any]]) -> Done:
        partial = self.path.with_name(self.path.name + ".partial")
        if partial.exists() and not self.keep_partial:
            _remove_left(partial)
        partial.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        figures = dict(work(partial))
        seconds = round(time.monotonic() - started, 2)
        marker = {"key": self.key, "digest": figures.pop("digest"), "seconds": seconds, **figures}
        write_atomically(partial / MARKER_FILE, json.dumps(marker, indent=2) + "\n")
        if self.path.exists():  # left without a readable marker
            shutil.rmtree(self.path)
        partial.rename(self.path)
        return Done(self.path, marker)


def digest_values(*values: Any) -> str:
    """SHA-256 over values; its first 16 hexadecimal digits, equal exactly for equal values.

    Args:
        values: anything that JSON can hold, pydantic models included.
    """
    text = json.dumps(values, sort_keys=True, allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be part of a stage's key")


def _in_words(figures: Mapping[str, Any]) -> str:
    return "".join(
        f"{name.replace('_', ' ')} {value:,.4g}, "
        if isinstance(value, float)
        else f"{value:,} {name.replace('_', ' ')}, "
        for name, value in figures.items()
        if not isinstance(value, str)
    )


def read_done(folder: Path) -> Done | None:
    """The finished stage in a folder, or None if it has no readable marker."""
    try:
        marker = json.loads((folder / MARKER_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return Done(folder, marker)


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
def locked(folder: Path, title: str = "") -> Iterator[None]:
    """Hold a stage's folder for this process; another one that wants the same waits, then finds it done.

    Args:
        folder: of the stage.
        title: of the stage, for a message if this process has to wait.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if title:
                console.print(f"{title}: another process works on it; waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: whoever reads it sees the old content or the new, never half of it."""
    aside = path.with_name(path.name + ".new")
    try:
        with aside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)  # on a full disk it may hold what the end of the MLflow run needs
        raise


def file_name(text: str) -> str:
    """A text as the beginning of a file's name, which systems limit to 255 bytes."""
    name = re.sub(r"[/\s]+", "-", text)
    return name.encode(errors="surrogateescape")[:NAME_BYTES].decode(errors="ignore")


def digest_files(*paths: Path) -> str:
    """SHA-256 over the content of files, in the order given; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
