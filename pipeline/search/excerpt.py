"""A part of a recording, read without the rest of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from echopair.lazy import np
from echopair.pipeline.errors import UserError


class Excerpt(NamedTuple):
    """A part of a recording.

    Args:
        path: of the recording.
        start_seconds, end_seconds: where it begins and ends in the recording.
    """

    path: str
    start_seconds: float
    end_seconds: float

    def overlaps(self, other: Excerpt) -> bool:
        """Whether both are of one recording and share some of its time."""
        return (
            self.path == other.path
            and self.start_seconds < other.end_seconds
            and other.start_seconds < self.end_seconds
        )

    def read(self) -> tuple[np.ndarray, int]:
        """The samples, (samples,) float32 with channels averaged, and their rate in Hz.

        Raises:
            UserError: the recording is gone, ends before the part, or cannot be read as sound.
        """
        import soundfile

        if not Path(self.path).is_file():
            raise UserError(f"{self.path}: there is no such file")
        try:
            with soundfile.SoundFile(self.path) as file:
                file.seek(min(round(self.start_seconds * file.samplerate), file.frames))
                frames = round((self.end_seconds - self.start_seconds) * file.samplerate)
                waveform = file.read(frames, dtype="float32", always_2d=True)
                rate = file.samplerate
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"{self.path} cannot be read as sound ({error}); convert it to WAV or FLAC"
            ) from error
        if not len(waveform):
            raise UserError(f"{self.path} ends before {self.start_seconds:g} s; it has changed since")
        return waveform.mean(axis=1), rate


def query_excerpt(path: Path, start_seconds: float | None, end_seconds: float | None) -> Excerpt:
    """The part of a recording that is searched for, checked against its length.

    Args:
        path: the recording.
        start_seconds: of the part; None for the beginning.
        end_seconds: of the part; None for the end.

    Raises:
        UserError: no such recording, or no such part of it.
    """
    import soundfile

    if not path.is_file():
        raise UserError(f"{path}: there is no such file; name the recording to search for")
    try:
        length = soundfile.info(path).duration
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} cannot be read as sound ({error}); convert it to WAV or FLAC") from error
    start = 0.0 if start_seconds is None else start_seconds
    end = length if end_seconds is None else end_seconds
    if not 0 <= start < end <= length + 0.001:
        raise UserError(
            f"--start={start:g} --end={end:g}: {path} is {length:.2f} s long; give a start before the end within it"
        )
    return Excerpt(str(path), start, min(end, length))
