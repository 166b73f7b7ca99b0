"""The one kind of error that is shown to a person without a traceback, and the parts that messages are made of."""

import difflib
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

NAMED = 3


class UserError(Exception):
    """Something a person can fix: the message names the file or key, its value and the remedy.

    The command line prints it in a line or two and exits with status 2.
    """


REMEDIES = {
    errno.ENOSPC: "free space on it, or write to another disk (work_folder, or --out of `echopair apply`)",
    errno.EDQUOT: "free space of your quota, or write to another disk (work_folder, or --out of `echopair apply`)",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "set work_folder to a disk that can be written to",
    errno.EACCES: "correct its permissions",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
# Libraries pass on the words of the system without its number.
WORDS = {
    os.strerror(errno.ENOSPC): errno.ENOSPC,
    "disk is full": errno.ENOSPC,
    os.strerror(errno.EDQUOT): errno.EDQUOT,
    os.strerror(errno.EFBIG): errno.EFBIG,
}


def system_failure(error: BaseException | None) -> str:
    """What the system refused and the remedy, if that is what caused an error; else empty."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        number = number or next((one for words, one in WORDS.items() if words in str(error)), None)
        if number in REMEDIES:
            file = getattr(error, "filename", None)
            where = f" ({str(file)[:200]})" if file else ""
            return f"{os.strerror(number)}{where}: {REMEDIES[number]}; the same command continues then"
        error = error.__cause__ or error.__context__
    return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word as the end of a message: "; did you mean 'x'?", or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(names: Sequence[str]) -> str:
    """The first few names, as "a, b, c, ..."."""
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 clip", "2,000 clips"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def short_path(value: object) -> str:
    """A path as people type it: from the current folder where it lies below."""
    path = value if isinstance(value, Path) else Path(str(value))
    return (
        str(path.relative_to(Path.cwd()))
        if path.is_absolute() and path.is_relative_to(Path.cwd())
        else str(value)
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or the name of its type if it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
