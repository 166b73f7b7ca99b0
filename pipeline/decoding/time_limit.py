"""How long the decoding of one recording may take."""

from pathlib import Path

LEAST_SECONDS = 600.0
BYTES_PER_SECOND = (
    100_000  # decoders take some megabytes a second; this is for busy processors and slow disks
)


def time_limit_seconds(path: str | Path, least_seconds: float = LEAST_SECONDS) -> float:
    """The limit of a recording, which grows with the size of its file."""
    try:
        size_bytes = Path(path).stat().st_size
    except (OSError, ValueError):  # refused with its reason where it is opened
        size_bytes = 0
    return least_seconds + size_bytes / BYTES_PER_SECOND
