"""Opens a recording by its content and reads it in blocks; raises `Refused` with the reason."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echopair.audio_files import UNKNOWN_FRAMES
from echopair.models.resample import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from echopair.pipeline.decoding.envelope import Envelope, PartOfFile
from echopair.pipeline.decoding.truncation import CONTAINERS, inspect
from echopair.pipeline.decoding.unsupported import Kind, unsupported_kind

# libsndfile reads other formats too, but truncation of those cannot be detected, and some contain no sound.
FORMATS = ("MP3", *(name for container in CONTAINERS for name in container.formats))
BLOCK_SECONDS = 10
BLOCK_VALUES = 1 << 22  # a block's limit where rate or channels are extreme: 16 MiB as float32
TOLERANCE_SECONDS = 0.1  # of compressed lengths, which may or may not include the encoder's delay
UNRECOGNISED_FORMAT = 1  # libsndfile's code
IMPOSSIBLE_HEADERS = {  # by libsndfile's codes; its own messages name internals
    24: "wrong header: a sample rate of zero, or an impossible one",
    32: "wrong header: it declares no channels",
    33: "wrong header: it declares more than 1,024 channels",
    34: "wrong header: it declares no channels",
}


class Refused(Exception):  # noqa: N818 - a verdict on a recording, not an error of the program
    """A recording that cannot be a clip; its message is the reason, for users."""


class Unsupported(Refused):
    """A recording with a codec that libsndfile does not read."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"{kind.name} is not supported")
        self.kind = kind


class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
    """A sound file that is only read from start to end.

    soundfile seeks after each block of a seekable file; that fails in a FLAC that declares no length.
    """

    def __init__(self, source: bytes | PartOfFile) -> None:
        self._source = source
        super().__init__(source)

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        if isinstance(self._source, PartOfFile):
            self._source.close()

    @property
    def is_mpeg(self) -> bool:
        """Whether its samples are MPEG audio frames, in whatever container."""
        return str(self.subtype).startswith("MPEG")


def read_envelope(path: str | Path) -> Envelope:
    try:
        # Before opening: opening a FIFO waits forever for a writer.
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise Refused(f"not a regular file: {kind}")
        if status.st_size == 0:
            raise Refused("empty: the file has zero bytes")
        with Path(path).open("rb") as file:
            return inspect(file, status.st_size)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise Refused("missing: no such file") from error
    except PermissionError as error:
        raise Refused("no permission to read it") from error
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from error


def open_recording(path: str | Path, envelope: Envelope) -> SequentialSoundFile:
    # Bytes, as a name need not be UTF-8.
    name = os.fsencode(path)
    try:
        if envelope.part is not None:
            return SequentialSoundFile(PartOfFile(Path(path).open("rb"), envelope.part))
        return SequentialSoundFile(name)
    except soundfile.LibsndfileError as error:
        if envelope.joined:
            raise Refused(f"{envelope.joined} in one file: split it") from error
        if envelope.cut and envelope.declared_ratio is not None:
            share = 1 / envelope.declared_ratio
            raise Refused(f"truncated: holds {share:.0%} of its declared bytes of sound") from error
        if envelope.cut or envelope.may_be_cut:
            raise Refused("truncated: its end is missing") from error
        start = envelope.part.start if envelope.part is not None and not envelope.part.head else 0
        if kind := unsupported_kind(path, start, error.code):
            raise Unsupported(kind) from error
        if error.code == UNRECOGNISED_FORMAT:
            raise Refused("not audio: its content is of no known audio format") from error
        raise Refused(IMPOSSIBLE_HEADERS.get(error.code, f"cannot be decoded: {_reason(error)}")) from error


def undecodable(error: Exception) -> Refused:
    """Why a file is refused whose content makes a decoder or the resampler raise; it concerns this file alone."""
    return Refused(f"cannot be decoded: {type(error).__name__}: {error}")


def _reason(error: soundfile.LibsndfileError) -> str:
    reason = str(error.error_string).removeprefix("Error : ").removeprefix("Error in ").rstrip(".")
    # The MP3 decoder's message for a file without a frame; `read_envelope` checked that it is a regular file.
    return "no sound behind its header" if reason.startswith("File does not exist or is not") else reason


def check_header(sound: SequentialSoundFile, envelope: Envelope) -> None:
    if sound.format not in FORMATS:
        raise Refused(
            f"of the format {sound.format}, whose length cannot be checked: convert it to WAV or FLAC"
        )
    if sound.subtype == "MPEG_LAYER_I":
        raise Refused("not audio: UTF-16 text, or MPEG audio of layer I")
    if envelope.joined:
        raise Refused(f"{envelope.joined} in one file, only the first would be read: split it")
    if envelope.cut:
        held = sound.frames / sound.samplerate
        if not held:
            raise Refused("truncated: it ends before its first sample")
        if envelope.declared_ratio is None:
            raise Refused(f"truncated: the end of its stream is missing, holds {held:.2f} s")
        raise Refused(f"truncated: {declared_and_found(held * envelope.declared_ratio, held)}")
    held = sound.frames / sound.samplerate
    if envelope.held_ratio > 1:
        raise Refused(f"wrong header: {declared_and_found(held, held * envelope.held_ratio)}")
    if sound.samplerate < LOWEST_RATE_HZ:
        raise Refused(f"sample rate of {sound.samplerate} Hz: below {LOWEST_RATE_HZ} Hz")
    if sound.samplerate > HIGHEST_RATE_HZ:
        raise Refused(f"sample rate of {sound.samplerate} Hz: above {HIGHEST_RATE_HZ} Hz")


def declared_and_found(declared: float, held: float) -> str:
    digits = next((digits for digits in range(2, 6) if f"{declared:.{digits}f}" != f"{held:.{digits}f}"), 6)
    return f"declares {declared:.{digits}f} s, holds {held:.{digits}f} s"


def read_blocks(sound: SequentialSoundFile) -> Iterator[NDArray[np.float32]]:
    """Blocks of shape (frames, channels), up to the end or the declared length, whichever comes first."""
    rate_hz, done = sound.samplerate, 0
    limit = max(1, min(BLOCK_SECONDS * rate_hz, BLOCK_VALUES // sound.channels))
    # libsndfile converts 16-bit samples to the same values, at a third of the speed.
    is_int16 = sound.subtype == "PCM_16"
    while done < sound.frames:
        try:
            # The limit, not a possibly absurd declared length, determines how much memory is reserved.
            frames = min(limit, sound.frames - done)
            block = sound.read(frames, dtype="int16" if is_int16 else "float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            known = "" if sound.frames == UNKNOWN_FRAMES else f"declares {sound.frames / rate_hz:.2f} s, "
            where = f"{known}cannot be decoded after {sound.tell() / rate_hz:.2f} s"
            raise Refused(f"truncated or damaged: {where} ({_reason(error)})") from error
        if not len(block):
            return
        done += len(block)
        yield block * np.float32(1 / 32768) if is_int16 else block
