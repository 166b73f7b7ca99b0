"""How long the decoding of one recording may take, by the size of its file."""

from pathlib import Path

LEAST_SECONDS = 600.0
BYTES_PER_SECOND = (
    100_000  # decoders take some megabytes a second; this is for busy processors and slow disks
)


def time_limit_seconds(path: str | Path, least_seconds: float = LEAST_SECONDS) -> float:
    """The limit of a recording, which grows with the size of its file."""
    return least_seconds + size_bytes(path) / BYTES_PER_SECOND


def size_bytes(path: str | Path) -> int:
    """Size of a file, 0 if there is none."""
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):  # refused with its reason where it is opened
        return 0
