"""Which code made a result, and who ran it."""

import getpass
import subprocess
from pathlib import Path

GIT_SECONDS = 10


def git_commit(folder: Path | None = None) -> str | None:
    """Commit of the checkout that a folder belongs to, with `-dirty` after it if tracked files were changed.

    Args:
        folder: by default the one of this package's source.

    Returns:
        None outside a checkout: installed as a package, git missing, or no commit yet.
    """
    folder = Path(__file__).parent if folder is None else folder
    # An installed package may be in an ignored folder of another repository, whose commit is unrelated.
    if not _git(folder, "ls-files", "--", "."):
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed or changed is None else commit


def user_name() -> str:
    """Name of the user; `unknown` in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
