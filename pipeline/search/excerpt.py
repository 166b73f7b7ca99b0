"""A part of a recording, read without the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embedding_table import PLACES, read_info, table_columns, table_rows
from echopair.pipeline.errors import UserError, counted

if TYPE_CHECKING:
    import soundfile


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
        with _opened(self.path) as file:
            file.seek(min(round(self.start_seconds * file.samplerate), file.frames))
            frames = round((self.end_seconds - self.start_seconds) * file.samplerate)
            waveform = file.read(frames, dtype="float32", always_2d=True)
            rate = file.samplerate
        if not len(waveform):
            raise UserError(f"{self.path} ends before {self.start_seconds:g} s; it has changed since")
        return waveform.mean(axis=1), rate


def excerpts_of(table: Path) -> list[Excerpt]:
    """What each row of a table of embeddings is of.

    A relative path counts from the current folder, or from that in which the table was written, where it is there.
    """
    import pyarrow.parquet as pq

    places = pq.read_table(table, columns=list(PLACES))
    folder = Path(read_info(table).folder)
    paths = places["path"].to_pylist()
    located = {path: _located(path, folder) for path in dict.fromkeys(paths)}
    times = (places[name].to_pylist() for name in PLACES[1:])
    return [Excerpt(located[path], start, end) for path, start, end in zip(paths, *times, strict=True)]


def _located(path: str, folder: Path) -> str:
    there = folder / path
    return str(there) if not Path(path).is_file() and there.is_file() else path


def missing_recordings(excerpts: Sequence[Excerpt]) -> str:
    """Which recordings of excerpts are gone, as a sentence; empty if none is."""
    paths = dict.fromkeys(one.path for one in excerpts)
    gone = [path for path in paths if not Path(path).is_file()]
    if not gone:
        return ""
    return (
        f"{len(gone):,} of {counted(len(paths), 'recording')} are not on this machine, first {gone[0]}; they "
        "cannot be heard (relative paths count from the current folder)"
    )


def labels_of(table: Path) -> list[tuple[str, ...]]:
    """The labels of each row of a table of embeddings; none where the table has no labels."""
    import pyarrow.parquet as pq

    if "labels" not in table_columns(table):
        return [()] * table_rows(table)
    labels = pq.read_table(table, columns=["labels"])["labels"].to_pylist()
    return [tuple(names or ()) for names in labels]


@contextmanager
def _opened(path: str) -> Iterator[soundfile.SoundFile]:
    """A recording, converted by ffmpeg where its name says that libsndfile cannot read it.

    Raises:
        UserError: it is gone, or cannot be read.
    """
    import soundfile

    from echopair.pipeline.decoding.ffmpeg import converted, format_by_name
    from echopair.pipeline.decoding.reading import Refused
    from echopair.pipeline.decoding.unsupported import Kind

    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file")
    form = format_by_name(path)
    try:
        with ExitStack() as stack:
            readable = stack.enter_context(converted(path, Kind(Path(path).suffix, form))) if form else path
            yield stack.enter_context(soundfile.SoundFile(readable))
    except Refused as refusal:
        raise UserError(f"{path}: {refusal}") from refusal
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} cannot be read as sound ({error}); convert it to WAV or FLAC") from error


def query_excerpt(path: Path, start_seconds: float | None, end_seconds: float | None) -> Excerpt:
    """The part of a recording that is searched for, checked against its length.

    Args:
        path: the recording.
        start_seconds: of the part; None for the beginning.
        end_seconds: of the part; None for the end.

    Raises:
        UserError: no such recording, one that is truncated or damaged, or no such part of it.
    """
    from echopair.pipeline.decoding.opening import opened
    from echopair.pipeline.decoding.reading import Refused

    with _opened(str(path)) as file:
        length = file.frames / file.samplerate
    try:
        with opened(path):  # which checks its header
            pass
    except Refused as refusal:
        raise UserError(f"{path}: {refusal}") from refusal
    start = 0.0 if start_seconds is None else start_seconds
    end = length if end_seconds is None else end_seconds
    if end > length + 0.001:
        raise UserError(f"--end={end:g}: {path} is {length:.2f} s long; give an end within it")
    if not 0 <= start < end:
        given = f" --end={end:g}" if end_seconds is not None else ""
        raise UserError(
            f"--start={start:g}{given}: {path} is {length:.2f} s long; give a start within it, before the end"
        )
    return Excerpt(str(path), start, min(end, length))
