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

from echopair.pipeline.corpora.recording import FFMPEG_FORMATS, has_ffmpeg
from echopair.pipeline.decoding.reading import TOLERANCE_SECONDS, Refused, declared_and_found
from echopair.pipeline.decoding.truncation import BEGINNINGS

LONGEST_SECONDS = 3600  # of a conversion: a day of sound takes minutes


@contextmanager
def readable(path: str | Path) -> Iterator[str | Path]:
    """A file that libsndfile reads: the recording itself, or a temporary WAV of one that needs ffmpeg.

    Args:
        path: a recording; whether it needs ffmpeg is decided by its extension, unless its content is that of WAV,
            AIFF, FLAC or Ogg.

    Raises:
        Refused: it needs ffmpeg, which is not on the PATH or cannot read it whole. OSError: the disk is full.
    """
    form = FFMPEG_FORMATS.get(Path(path).suffix.lower())
    if form is None or not _is_foreign(Path(path)):
        yield path
        return
    if not has_ffmpeg():
        raise Refused(
            f"{Path(path).suffix.lower()} needs ffmpeg: install it on the PATH, or convert to WAV or FLAC"
        )
    with tempfile.TemporaryDirectory(prefix="echopair-") as folder:
        wav = Path(folder, "sound.wav")
        _convert(path, form, wav)
        yield wav


def _is_foreign(path: Path) -> bool:
    try:
        if path.is_file():  # opening a pipe would wait
            with path.open("rb") as file:
                return file.read(4) not in BEGINNINGS
    except (OSError, ValueError):
        pass
    return False  # refused with its reason where it is opened


def _convert(path: str | Path, form: str, wav: Path) -> None:
    # A given format keeps ffmpeg from following playlists, which name other files and addresses.
    source = ["-protocol_whitelist", "file", "-f", form, "-i", f"file:{os.fspath(path)}"]
    sink = ["-map", "0:a:0", "-c:a", "pcm_f32le", "-rf64", "auto", "-f", "wav", str(wav)]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", *source, *sink]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"ffmpeg did not convert it within {LONGEST_SECONDS} s: convert it to WAV") from error
    log = done.stderr.decode("utf-8", "backslashreplace")
    if os.strerror(errno.ENOSPC) in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = re.findall(r"\[(?:error|fatal)\] (.+)", log)
    if errors or done.returncode:
        raise Refused(
            f"truncated or damaged: ffmpeg cannot read it whole ({errors[0] if errors else 'no reason'})"
        )
    read = log.partition("Output #0")[0]
    if len(re.findall(r"Stream #0:\d.*: Audio:", read)) > 1:
        raise Refused("several audio streams in one file, only the first would be read: split it")
    held = soundfile.info(wav).duration
    if declared := re.search(r"Duration: (\d+):(\d+):([\d.]+)", read):
        hours, minutes, seconds = map(float, declared.groups())
        expected = 3600 * hours + 60 * minutes + seconds
        if expected - held > TOLERANCE_SECONDS:
            raise Refused(f"truncated: {declared_and_found(expected, held)}")
