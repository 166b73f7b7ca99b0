"""A folder of the user's own sounds, as backgrounds or impulse responses; decoded by soundfile, resampled by soxr."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from echopair.audio_files import AUDIO_EXTENSIONS, UNKNOWN_FRAMES
from echopair.augment.waveform.augmentation import Waveform
from echopair.lazy import np

# Up to this total size each process keeps the decoded sounds in memory.
CACHE_BYTES = 128 << 20


def find_sounds(folder: Path) -> list[Path]:
    """The sound files below a folder, by their extension, in any depth.

    Returns:
        Absolute paths, in an order that does not depend on the file system.

    Raises:
        ValueError: the folder does not exist, is a file, or contains no sound.
    """
    root = folder.expanduser().absolute()
    if not root.exists():
        raise ValueError(f"folder={folder}: there is no such folder; name the folder with the sounds")
    if not root.is_dir():
        raise ValueError(f"folder={folder} is a file; name the folder with the sounds")
    files = []
    visited = set()

    def fail(error: OSError) -> None:
        raise ValueError(
            f"folder={folder}: {error.filename} cannot be read ({error.strerror}); fix its permissions"
        )

    for parent, subfolders, names in os.walk(root, followlinks=True, onerror=fail):
        if os.path.realpath(parent) in visited:  # a link back up the tree
            subfolders.clear()
            continue
        visited.add(os.path.realpath(parent))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files += [
            Path(parent, name)
            for name in sorted(names)
            if name.lower().endswith(AUDIO_EXTENSIONS) and not name.startswith(".")
        ]
    if not files:
        raise ValueError(
            f"folder={folder}: contains no sounds; add some "
            f"({', '.join(extension[1:] for extension in AUDIO_EXTENSIONS)}) or name another folder"
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
    """Open every sound below a folder and read its header.

    Args:
        folder: may begin with "~".
        longest_seconds: longest duration of a sound.

    Raises:
        ValueError: there is no such folder, no sound in it, or a sound that cannot be used, which the message names.
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
    """Duration of a sound according to its header.

    Raises:
        ValueError: it cannot be opened or is empty; the message names the file and the remedy.
    """
    import soundfile

    # Before opening: opening a FIFO waits forever for a writer.
    if not file.is_file():
        raise ValueError(f"{file} is not a regular file: remove it")
    try:
        with soundfile.SoundFile(str(file)) as sound:
            frames, rate_hz = sound.frames, sound.samplerate
    except (soundfile.LibsndfileError, OSError, UnicodeEncodeError) as error:
        raise ValueError(
            f"{_printable(file)} cannot be read: {_reason(error)} Remove it, or convert it to WAV"
        ) from error
    if not 0 < frames < UNKNOWN_FRAMES:
        raise ValueError(f"{file} is empty or declares no length: remove it or convert it to WAV")
    return float(frames / rate_hz)


class SoundReader:
    """Sections of sounds at the rate of the crops, mono.

    Decoding and resampling a section takes 1 to 7 ms. Where all sounds fit into 128 MiB (35 minutes at 16 kHz),
    each is decoded once and cached; a section then takes 0.01 ms.

    Args:
        files: the sounds.
        sample_rate_hz: of the crops.
    """

    def __init__(self, files: Sequence[Path], sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        seconds = sum(sound_seconds(file) for file in files)
        self._caches = seconds * sample_rate_hz * np.dtype(np.float32).itemsize <= CACHE_BYTES
        self._cache: dict[Path, Waveform] = {}

    def whole(self, file: Path) -> Waveform:
        """A whole sound, (L,) float32.

        Args:
            file: one of the files.

        Raises:
            ValueError: as `section`.
        """
        if file in self._cache:
            return self._cache[file]
        sound = read_sound(file, self._sample_rate_hz)
        if self._caches:
            self._cache[file] = sound
        return sound

    def section(self, file: Path, start_seconds: float, samples: int) -> Waveform:
        """A section of a sound; a shorter sound is repeated.

        Args:
            file: one of the files.
            start_seconds: start of the section; if beyond the end, as a damaged file may declare more than it
                contains, the section starts at 0.
            samples: L.

        Returns:
            (L,) float32.

        Raises:
            ValueError: it cannot be read, is empty or has values that are not finite; the message names it.
        """
        if self._caches:
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
    """Decode a sound or a section of it, mono, resampled.

    Args:
        file: in any format of soundfile.
        sample_rate_hz: of the result.
        start_seconds: start of the section.
        samples: largest number of samples at `sample_rate_hz`; None is all.

    Returns:
        (L,) float32, shorter than `samples` at the end of the sound, empty beyond it.

    Raises:
        ValueError: it cannot be read, is empty or has values that are not finite; the message names it.
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
            f"{_printable(file)} cannot be read: {_reason(error)} Remove it, or convert it to WAV"
        ) from error
    if not np.isfinite(waveform).all():
        raise ValueError(f"{file} has samples that are not finite: remove it")
    if len(waveform) and rate_hz != sample_rate_hz:
        waveform = soxr.resample(waveform, rate_hz, sample_rate_hz)
    if not start and not len(waveform):
        raise ValueError(f"{file} is empty: remove it")
    resampled: Waveform = waveform[:samples].astype(np.float32, copy=False)
    return resampled


def _printable(file: Path) -> str:
    # A name that is not UTF-8 can be neither printed nor logged.
    return os.fsencode(file).decode(errors="replace")


def _reason(error: Exception) -> str:
    return "its name is not UTF-8." if isinstance(error, UnicodeEncodeError) else str(error)
