"""A folder of the user's own sounds, from which an augmentation takes backgrounds or impulse responses."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from echopair.augment.waveform.augmentation import Waveform
from echopair.lazy import np

# All of them formats that soundfile reads.
SOUND_EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
UNKNOWN_FRAMES = (1 << 63) - 1  # libsndfile's number where a file declares no length
# Sounds that together take less are read once and kept, in each process that augments.
KEPT_BYTES = 128 << 20


def find_sounds(folder: Path) -> list[Path]:
    """The sound files below a folder, by their extension, in any depth.

    Returns:
        Absolute paths in an order that no file system decides.

    Raises:
        ValueError: the folder is missing, is no folder, or holds no sound.
    """
    root = folder.expanduser().absolute()
    if not root.exists():
        raise ValueError(f"folder={folder}: there is no such folder; name the one that holds the sounds")
    if not root.is_dir():
        raise ValueError(f"folder={folder} is a file; name the folder that holds the sounds")
    files = []
    walked = set()

    def refuse(error: OSError) -> None:
        raise ValueError(
            f"folder={folder}: {error.filename} cannot be read ({error.strerror}); mend its permissions"
        )

    for parent, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        if os.path.realpath(parent) in walked:  # a link back up the tree
            subfolders.clear()
            continue
        walked.add(os.path.realpath(parent))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files += [
            Path(parent, name)
            for name in sorted(names)
            if name.lower().endswith(SOUND_EXTENSIONS) and not name.startswith(".")
        ]
    if not files:
        raise ValueError(
            f"folder={folder}: no sounds below this folder; put some "
            f"({', '.join(extension[1:] for extension in SOUND_EXTENSIONS)}) there or name another folder"
        )
    return files


def list_sounds(folder: Path) -> list[tuple[str, int, int]]:
    """Name within the folder, bytes, and time of the last change in nanoseconds of each sound.

    Raises:
        ValueError: as `find_sounds`.
    """
    root = folder.expanduser().absolute()
    listed = []
    for file in find_sounds(folder):
        status = file.stat()
        listed.append((str(file.relative_to(root)), status.st_size, status.st_mtime_ns))
    return listed


def check_sounds(folder: Path, longest_seconds: float = math.inf) -> None:
    """Open every sound below a folder, headers only.

    Args:
        folder: may begin with "~".
        longest_seconds: what a sound may last.

    Raises:
        ValueError: there is no such folder, no sound in it, or one that cannot be used; it names that one.
    """
    for file in find_sounds(folder):
        try:
            seconds = sound_seconds(file)
        except ValueError as error:
            raise ValueError(f"folder={folder}: {error}") from error
        if seconds > longest_seconds:
            raise ValueError(
                f"folder={folder}: {file} lasts {seconds:.0f} s, more than {longest_seconds:g} s: "
                "remove it, or name another folder"
            )


def sound_seconds(file: Path) -> float:
    """How long a sound declares to be.

    Raises:
        ValueError: it cannot be opened, or holds nothing; names the file and says what to do.
    """
    import soundfile

    # Before opening: opening a FIFO waits for its writer for ever.
    if not file.is_file():
        raise ValueError(f"{file} is not a regular file: remove it")
    try:
        with soundfile.SoundFile(str(file)) as sound:
            frames, rate_hz = sound.frames, sound.samplerate
    except (soundfile.LibsndfileError, OSError, UnicodeEncodeError) as error:
        raise ValueError(
            f"{_shown(file)} cannot be read: {_reason(error)} Remove it, or convert it to WAV"
        ) from error
    if not 0 < frames < UNKNOWN_FRAMES:
        raise ValueError(f"{file} declares no length, or none of its sound is left: remove it or convert it")
    return float(frames / rate_hz)


class SoundReader:
    """Sections of sounds at the rate of the crops, mono.

    A section is read and resampled in 1 to 7 ms; where all sounds fit into 128 MiB (35 minutes at 16 kHz) each
    is read whole once and kept, which leaves 0.01 ms.

    Args:
        files: all that may be asked for.
        sample_rate_hz: of the crops.
    """

    def __init__(self, files: Sequence[Path], sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        seconds = sum(sound_seconds(file) for file in files)
        self._keeps = seconds * sample_rate_hz * np.dtype(np.float32).itemsize <= KEPT_BYTES
        self._kept: dict[Path, Waveform] = {}

    def whole(self, file: Path) -> Waveform:
        """A sound from its start to its end, (L,) float32.

        Args:
            file: one of the files.

        Raises:
            ValueError: as `section`.
        """
        if file in self._kept:
            return self._kept[file]
        sound = read_sound(file, self._sample_rate_hz)
        if self._keeps:
            self._kept[file] = sound
        return sound

    def section(self, file: Path, start_seconds: float, samples: int) -> Waveform:
        """A section of a sound; a sound that is too short is repeated.

        Args:
            file: one of the files.
            start_seconds: from where; beyond the end, as a damaged file may declare more than it holds,
                it is from the start.
            samples: L.

        Returns:
            (L,) float32.

        Raises:
            ValueError: it cannot be read, or holds no sound or values that are not finite; names the file.
        """
        if self._keeps:
            start = round(start_seconds * self._sample_rate_hz)
            sound = self.whole(file)[start : start + samples]
        else:
            sound = read_sound(file, self._sample_rate_hz, start_seconds, samples)
        if not len(sound):
            return self.section(file, 0.0, samples)
        return np.resize(sound, samples)  # repeats


def read_sound(
    file: Path, sample_rate_hz: int, start_seconds: float = 0.0, samples: int | None = None
) -> Waveform:
    """A sound, or a section of it, mono and at another rate.

    Args:
        file: in any format of soundfile.
        sample_rate_hz: of the result.
        start_seconds: from where.
        samples: how many at most, at `sample_rate_hz`; None is all.

    Returns:
        (L,) float32, shorter than asked for at the end of the sound; empty behind it.

    Raises:
        ValueError: it cannot be read, or holds no sound or values that are not finite; names the file.
    """
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(str(file)) as sound:
            rate_hz = sound.samplerate
            frames = -1 if samples is None else math.ceil(samples * rate_hz / sample_rate_hz) + 1
            start = min(round(start_seconds * rate_hz), sound.frames)
            sound.seek(start)
            waveform = sound.read(frames, dtype="float32", always_2d=True).mean(axis=1)  # (frames,)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(
            f"{_shown(file)} cannot be read: {_reason(error)} Remove it, or convert it to WAV"
        ) from error
    if not np.isfinite(waveform).all():
        raise ValueError(f"{file} holds samples that are not finite: remove it")
    if len(waveform) and rate_hz != sample_rate_hz:
        waveform = soxr.resample(waveform, rate_hz, sample_rate_hz)
    if not start and not len(waveform):
        raise ValueError(f"{file} holds no sound: remove it")
    resampled: Waveform = waveform[:samples].astype(np.float32, copy=False)
    return resampled


def _shown(file: Path) -> str:
    # A name need not be UTF-8, and what cannot be encoded can be neither printed nor logged.
    return os.fsencode(file).decode(errors="replace")


def _reason(error: Exception) -> str:
    return "its name is not UTF-8." if isinstance(error, UnicodeEncodeError) else str(error)
