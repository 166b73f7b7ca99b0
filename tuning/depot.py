"""Files below one folder, told, read and changed by name; and copies from one such folder to another.

A copy keeps sizes and times of change, so that what is equal is known without reading it. Whoever sends files writes
them aside first: a file, or a whole folder, appears in one step or not at all.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import MARKER_FILE, locked_if_free

PIECE_BYTES = 8 << 20
PARTIAL = ".partial"  # a stage's folder under way
ATTEMPTS = 3


class Stamp(NamedTuple):
    """What a file's content is known by."""

    size_bytes: int
    changed_ns: int


Listing = dict[str, Stamp]
"""Files of a folder, in any depth, by their names below it."""


class Changed(RuntimeError):  # noqa: N818  (what happened)
    """A file is no longer what it was when its folder was listed."""


class Files(Protocol):
    """What a depot does, be it here or on another node; every name is relative and has slashes."""

    def listing(self, folder: str) -> Listing | None:
        """The files of a folder but for hidden ones; None if there is no such folder."""

    def read(self, folder: str, name: str, stamp: Stamp, start: int) -> bytes:
        """At most PIECE_BYTES of a file.

        Raises:
            Changed: it has another stamp now.
        """

    def write(self, folder: str, sender: str, name: str, start: int, piece: bytes) -> None:
        """Write a piece of a file aside, the first one first."""

    def update(self, folder: str, sender: str, stamps: Listing) -> bool:
        """Bring files that were written aside into a folder, in the order given.

        Returns:
            False, and nothing is changed, if a process of this machine works in the folder, which is a stage's.
        """

    def place(self, folder: str, sender: str, stamps: Listing) -> None:
        """Make of the files that were written aside a folder; one that a stage has finished stays as it is."""

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""


class Depot:
    """Gives and takes files below a folder, and nothing outside.

    Args:
        root: the folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._asides: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where a name lies.

        Raises:
            UserError: it leads out of the folder, or through a link.
        """
        relative = PurePosixPath(name)
        inside = relative.parts and not relative.is_absolute() and ".." not in relative.parts
        path = self.root / relative
        if not inside or path.resolve() != self.root.resolve() / relative:
            raise UserError(
                f"{path} leads out of {self.root}, and is not copied to other nodes; put folders there, and no links"
            )
        return path

    def listing(self, folder: str) -> Listing | None:
        """See `Files`."""
        top = self.path(folder)
        if not top.is_dir():
            return None
        listed = {}
        for parent, subfolders, names in os.walk(top):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                file = Path(parent, name)
                relative = file.relative_to(top).as_posix()
                listed[relative] = _stamp(self.path(f"{folder}/{relative}").stat())
        return listed

    def read(self, folder: str, name: str, stamp: Stamp, start: int) -> bytes:
        """See `Files`."""
        file = self.path(f"{folder}/{name}")
        try:
            with file.open("rb") as content:
                if _stamp(os.fstat(content.fileno())) != stamp:
                    raise Changed(f"{file} was changed while it was copied")
                content.seek(start)
                return content.read(min(PIECE_BYTES, stamp.size_bytes - start))
        except FileNotFoundError as error:
            raise Changed(f"{file} was removed while it was copied") from error

    def write(self, folder: str, sender: str, name: str, start: int, piece: bytes) -> None:
        """See `Files`."""
        self.path(f"{folder}/{name}")
        file = self._aside(folder, sender) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("r+b" if start else "wb") as content:
            content.seek(start)
            content.write(piece)

    def update(self, folder: str, sender: str, stamps: Listing) -> bool:
        """See `Files`."""
        top, aside = self.path(folder), self._aside(folder, sender)
        with _unless_at_work(top) as free:
            if free:
                for name, stamp in stamps.items():
                    _settle(aside / name, stamp)
                    (top / name).parent.mkdir(parents=True, exist_ok=True)
                    (aside / name).replace(top / name)
        shutil.rmtree(aside, ignore_errors=True)
        return free

    def place(self, folder: str, sender: str, stamps: Listing) -> None:
        """See `Files`."""
        top, aside = self.path(folder), self._aside(folder, sender)
        for name, stamp in stamps.items():
            _settle(aside / name, stamp)
        if not (top / MARKER_FILE).is_file():
            shutil.rmtree(top, ignore_errors=True)
            aside.rename(top)
        shutil.rmtree(aside, ignore_errors=True)
        partial = top.with_name(top.name + PARTIAL)
        if partial.exists():
            with _unless_at_work(partial) as free:
                if free:
                    shutil.rmtree(partial, ignore_errors=True)

    def remove(self, name: str) -> None:
        """See `Files`."""
        path = self.path(name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what was written aside and not brought in: its sender died."""
        for aside in self._asides:
            shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, folder: str, sender: str) -> Path:
        top = self.path(folder)
        aside = top.with_name(f".{top.name}.{sender}")
        self._asides.add(aside)
        return aside


def everything(_name: str) -> bool:
    """All files of a folder."""
    return True


def copy_folder(
    source: Files, target: Files, folder: str, sender: str, wanted: Callable[[str], bool] = everything
) -> bool:
    """Copy a folder whole.

    Args:
        source: has it.
        target: gets it.
        folder: its name on both sides.
        sender: no two that send the same folder at once have the same name.
        wanted: says of each name below the folder whether it is copied.

    Returns:
        Whether the source has files of it.

    Raises:
        Changed: it was changed again and again.
    """
    for attempt in range(1, ATTEMPTS + 1):
        listing = _listed(source, folder, wanted)
        if not listing:
            return False
        try:
            _send(source, target, folder, sender, listing)
        except Changed:
            if attempt == ATTEMPTS:
                raise
            continue
        target.place(folder, sender, listing)
        break
    return True


def copy_changes(
    source: Files,
    target: Files,
    folder: str,
    sender: str,
    wanted: Callable[[str], bool] = everything,
    last: str | None = None,
) -> None:
    """Copy those files of a folder that differ.

    Args:
        source: has it; if not, nothing is done.
        target: gets them, unless one of its own processes works in that folder.
        folder: its name on both sides.
        sender: see `copy_folder`.
        wanted: says of each name below the folder whether it is copied.
        last: name of the file that is brought in after the others, since it counts on them.

    Raises:
        Changed: a file was changed meanwhile; nothing was brought in.
    """
    here = _listed(source, folder, wanted)
    there = target.listing(folder) or {} if here else {}
    changed = {name: stamp for name, stamp in here.items() if there.get(name) != stamp}
    if last in changed:
        changed[last] = changed.pop(last)
    if changed:
        _send(source, target, folder, sender, changed)
        target.update(folder, sender, changed)


def _listed(source: Files, folder: str, wanted: Callable[[str], bool]) -> Listing:
    return {name: stamp for name, stamp in (source.listing(folder) or {}).items() if wanted(name)}


def _send(source: Files, target: Files, folder: str, sender: str, stamps: Mapping[str, Stamp]) -> None:
    for name, stamp in stamps.items():
        for start in range(0, max(stamp.size_bytes, 1), PIECE_BYTES):
            target.write(folder, sender, name, start, source.read(folder, name, stamp, start))


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def _settle(file: Path, stamp: Stamp) -> None:
    """Bring a file that was written aside to disk, and give it the time of change that it came with."""
    with file.open("rb") as content:
        os.fsync(content.fileno())
    size_bytes = file.stat().st_size
    if size_bytes != stamp.size_bytes:
        raise OSError(f"{file} arrived with {size_bytes} of {stamp.size_bytes} bytes")
    os.utime(file, ns=(stamp.changed_ns, stamp.changed_ns))


@contextmanager
def _unless_at_work(folder: Path) -> Iterator[bool]:
    """Hold a stage's folder under way, unless a process holds it by `pipeline.stages.locked`; says which.

    Folders that are no stage's are nobody's but the sender's.
    """
    if not folder.name.endswith(PARTIAL):
        yield True
        return
    with locked_if_free(folder.with_name(folder.name.removesuffix(PARTIAL))) as free:
        yield free


def make_node_folder(parent: Path | None, name: str) -> Path:
    """A folder of this user's own on the node that this process runs on.

    Args:
        parent: in which it lies; None is the node's folder for temporary files.
        name: of the folder.

    Raises:
        UserError: it cannot be made, or is somebody else's.
    """
    folder = _node_folder(parent, name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}); set ray.node_folder to another folder"
        ) from error
    if not ours:
        raise UserError(f"{folder} is another user's; set ray.node_folder to another folder")
    return folder


def remove_node_folder(parent: Path | None, name: str) -> None:
    """Remove what `make_node_folder` made, also under the hands of processes that are about to end."""
    folder = _node_folder(parent, name)
    aside = folder.with_name(f"{name}.{os.getpid()}")
    with suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def check_room(parent: Path | None, name: str, size_bytes: int) -> None:
    """Make a folder as `make_node_folder` does, and refuse more than it has room for beside what it holds already.

    Raises:
        UserError: see `make_node_folder` and `check_space`.
    """
    folder = make_node_folder(parent, name)
    with suppress(FileNotFoundError):  # somebody tidies up
        size_bytes -= sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    check_space(folder, size_bytes)


def check_space(folder: Path, size_bytes: int) -> None:
    """Refuse files that do not fit.

    Raises:
        UserError: there is too little space below the folder.
    """
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise UserError(
            f"{folder} of the node {socket.gethostname()} has {free / 1e9:.1f} GB free, and a copy of the clips "
            f"needs {size_bytes / 1e9:.1f}; set ray.node_folder to a folder on a larger disk"
        )


def _node_folder(parent: Path | None, name: str) -> Path:
    return Path(parent or tempfile.gettempdir(), name)
