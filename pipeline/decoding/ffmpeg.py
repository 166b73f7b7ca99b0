"""Converts recordings that libsndfile cannot read to WAV, with ffmpeg where it is on the PATH."""

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

from echopair.audio_files import FFMPEG_FORMATS, has_ffmpeg
from echopair.pipeline.decoding.reading import TOLERANCE_SECONDS, Refused, declared_and_found
from echopair.pipeline.decoding.time_limit import time_limit_seconds
from echopair.pipeline.decoding.truncation import HEAD_BYTES, container_of
from echopair.pipeline.decoding.unsupported import Kind

UNKNOWN_CODEC = re.compile(r"Not yet implemented in FFmpeg|Decoder \(codec \w+\) not found|Unknown decoder")


@contextmanager
def converted(path: str | Path, kind: Kind) -> Iterator[Path]:
    """A temporary WAV file of a recording that libsndfile cannot read.

    Args:
        path: the recording.
        kind: what it is.

    Raises:
        Refused: ffmpeg is not on the PATH or cannot read it whole. OSError: the disk is full.
    """
    if not has_ffmpeg():
        raise Refused(f"{kind.name} needs ffmpeg: install it on the PATH, or convert to WAV or FLAC")
    with tempfile.TemporaryDirectory(prefix="echopair-") as folder:
        wav = Path(folder, "sound.wav")
        _convert(path, kind, wav)
        yield wav


def format_by_name(path: str | Path) -> str | None:
    """The format that ffmpeg is to read a recording as, by its extension; None if libsndfile reads it."""
    form = FFMPEG_FORMATS.get(Path(path).suffix.lower())
    return form if form and _is_foreign(Path(path)) else None


def _is_foreign(path: Path) -> bool:
    try:
        if path.is_file():  # opening a pipe would wait
            with path.open("rb") as file:
                return container_of(file.read(HEAD_BYTES)) is None
    except (OSError, ValueError):
        pass
    return False  # refused with its reason where it is opened


def _convert(path: str | Path, kind: Kind, wav: Path) -> None:
    # A given format keeps ffmpeg from following playlists, which name other files and addresses.
    # Its decoders pass over wrong checksums unless they are asked to compare them.
    source = ["-xerror", "-err_detect", "crccheck", "-protocol_whitelist", "file", "-f", kind.form]
    source += ["-i", f"file:{os.fspath(path)}"]
    sink = ["-map", "0:a:0", "-c:a", "pcm_f32le", "-rf64", "auto", "-f", "wav", str(wav)]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", *source, *sink]
    limit_seconds = time_limit_seconds(path) / 2  # the rest is for what follows
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"ffmpeg did not convert it within {limit_seconds:.0f} s: convert it to WAV") from error
    log = done.stderr.decode("utf-8", "backslashreplace")
    if os.strerror(errno.ENOSPC) in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = re.findall(r"\[(?:error|fatal)\] (.+)", log)
    if UNKNOWN_CODEC.search(log):
        raise Refused(f"{kind.name}: this version of ffmpeg does not read it; convert it to WAV or FLAC")
    if errors or done.returncode:
        raise Refused(
            f"truncated or damaged: ffmpeg cannot read it whole ({errors[0] if errors else 'no reason'})"
        )
    read = log.partition("Output #0")[0]
    if len(re.findall(r"Stream #0:\d.*: Audio:", read)) > 1:
        raise Refused("several audio streams in one file, only the first would be read: split it")
    held = soundfile.info(wav).duration
    if not held:
        raise Refused(f"{kind.name}: this version of ffmpeg does not read it; convert it to WAV or FLAC")
    if declared := re.search(r"Duration: (\d+):(\d+):([\d.]+)", read):
        hours, minutes, seconds = map(float, declared.groups())
        expected = 3600 * hours + 60 * minutes + seconds
        if expected - held > TOLERANCE_SECONDS:
            raise Refused(f"truncated: {declared_and_found(expected, held)}")
