"""Finds the file that a table's path names, however the path is spelt."""

import os
import stat
import unicodedata
from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """A recording's file.

    Attributes:
        path: of the file, which need not exist.
        name: the path below the root; of a file out of it, the path as the table has it.
        identity: equal for two paths of one file.
        exists: whether there is such a file.
        is_outside: whether it lies out of the root, by its path or by a link.
    """

    path: Path
    name: str
    identity: object
    exists: bool
    is_outside: bool


class PathFinder:
    """Finds recordings below a root; each folder is read once.

    Args:
        root: absolute path of a folder.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._real_root = root, root.resolve()
        self._real_folders: dict[Path, Path] = {}
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Found:
        """The file of a path as a table spells it.

        Backslashes separate folders where no file has such a name. Where names differ from those on the disk in
        their Unicode form alone, those on the disk are taken.
        """
        path = self._root / name
        status = _status(path)
        if status is None and "\\" in name:
            path = self._root / name.replace("\\", "/")
        path = Path(os.path.normpath(path))
        if (status := _status(path)) is None:
            path = self._as_on_disk(path)
            status = _status(path)
        is_link = status is not None and stat.S_ISLNK(status.st_mode)
        unlinked = self._real_folder(path.parent) / path.name
        real = Path(os.path.realpath(path)) if is_link else unlinked
        below = next((one for one in (self._root, self._real_root) if path.is_relative_to(one)), None)
        # Two names of one file are one recording, unless somebody made links on purpose.
        has_one_name = status is not None and status.st_nlink == 1
        return Found(
            path,
            name if below is None else str(path.relative_to(below)),
            (status.st_dev, status.st_ino) if status is not None and has_one_name else unlinked,
            status is not None and (not is_link or _status(real) is not None),
            below is None or not real.is_relative_to(self._real_root),
        )

    def _real_folder(self, folder: Path) -> Path:
        if folder not in self._real_folders:
            try:
                self._real_folders[folder] = Path(os.path.realpath(folder))
            except ValueError:  # a zero byte
                self._real_folders[folder] = folder
        return self._real_folders[folder]

    def _as_on_disk(self, path: Path) -> Path:
        """The path with each name as its folder has it, where only their Unicode forms differ."""
        if path == self._root or not path.is_relative_to(self._root):
            return path
        folder = path.parent if _status(path.parent) is not None else self._as_on_disk(path.parent)
        if folder not in self._names:
            try:
                names = [one.name for one in folder.iterdir()]
            except (OSError, ValueError):
                names = []
            self._names[folder] = {unicodedata.normalize("NFC", name): name for name in names}
        return folder / self._names[folder].get(unicodedata.normalize("NFC", path.name), path.name)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (OSError, ValueError):  # too long a name, a zero byte
        return None
