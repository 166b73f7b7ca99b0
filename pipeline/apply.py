"""`echopair apply`: recordings + encoder -> a Parquet table with the embedding of each window."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.corpora.folder import list_folder
from echopair.pipeline.corpora.recording import Recording, Refusal, name_as_text
from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.embed import EmbedConfig, Window, embed_windows
from echopair.pipeline.embedding_table import TableInfo, make_rows, read_info, table_schema, table_writer
from echopair.pipeline.errors import UserError
from echopair.pipeline.prepare import PrepareConfig, write_store
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.stages import locked, write_atomically
from echopair.pipeline.store import ClipStore
from echopair.pipeline.workers import decode_all

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder

APPLY_VERSION = 1
# A group of recordings is decoded, embedded and written as one part: what a killed process loses at most.
GROUP_RECORDINGS = 1024
GROUP_BYTES = 256 << 20
ROWS_AT_ONCE = 4096
PLAN_FILE = "plan.json"
REFUSALS_NAMED = 3


@dataclass(frozen=True)
class Windows:
    """Which parts of a recording are embedded, in samples.

    Args:
        length: of a window; None for the whole recording.
        hop: samples between the starts of two windows.
    """

    length: int | None
    hop: int

    def of(self, clip: int, samples: int) -> list[Window]:
        """The windows of a clip; the last one ends with it, and a shorter clip is one window."""
        from echopair.models.audio_encoder import crop_starts

        if self.length is None:
            return [Window(clip, 0, samples)]
        starts = crop_starts(samples, self.length, self.hop)
        return [Window(clip, start, min(start + self.length, samples)) for start in starts.tolist()]


@dataclass(frozen=True)
class Applied:
    """What `apply` wrote.

    Args:
        file: the table.
        rows: of it.
        refused: number of recordings that could not be embedded.
        refusals: a CSV file with the reason of each; None if there are none.
        seconds_of_audio: that were embedded by this call.
    """

    file: Path
    rows: int
    refused: int
    refusals: Path | None
    seconds_of_audio: float


def apply(
    encoder_folder: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    whole: bool = False,
    config: EmbedConfig | None = None,
) -> Applied:
    """Embed windows of recordings, or whole ones, into a Parquet table.

    Recordings are decoded and checked as `prepare` does it, and each row is what `AudioEncoder.embed` gives for that
    part. Memory does not grow with the recordings. A killed process is continued by the next call: what was done is
    in a folder beside the table, `out` with `.partial` behind it.

    Args:
        encoder_folder: of an encoder.
        sources: recordings and folders of them.
        out: the table, which must not exist, or be of the same encoder, recordings and windows.
        window_seconds: length of a window, by default a crop of the encoder.
        hop_seconds: time between the starts of two windows, by default half of a window.
        whole: a row for each recording.
        config: device, precision and batch size.

    Raises:
        UserError: no encoder, no recording, none that can be embedded, a window shorter than a crop, a table of
            something else in the way, or a full disk.
    """
    config = config or EmbedConfig()
    encoder = load_encoder(encoder_folder, config)
    windows = _windows(encoder, window_seconds, hop_seconds, whole)
    recordings = list_recordings(sources)
    info = _info(encoder, encoder_folder, windows, recordings, config)
    if out.exists():
        if out.is_dir() or read_info(out).key != info.key:
            raise UserError(
                f"{out} exists, and is of another encoder, other recordings or other windows; delete it, or name "
                "another file by --out"
            )
        console.print(f"apply: {out} was done before", style="dim", markup=False)
        return _applied(out, 0.0)
    parts = _Parts(out.with_name(out.name + ".partial"), info, encoder.embedding_dim)
    seconds = 0.0
    parts.folder.mkdir(parents=True, exist_ok=True)
    with locked(parts.folder / PLAN_FILE, f"apply {out}"):
        parts.check_plan()
        with progress_bar("apply", len(recordings), "recordings") as advance:
            for number, group in enumerate(_groups(recordings)):
                if parts.is_done(number):
                    advance(len(group))
                    continue
                seconds += parts.make(number, group, encoder, windows, config, advance)
        parts.merge(out)
    return _applied(out, seconds)


def list_recordings(sources: Sequence[Path]) -> list[Recording]:
    """The recordings that are given or lie below the folders that are given, each once, by their path as given.

    Raises:
        UserError: a source that does not exist, or a folder without audio.
    """
    found: dict[str, Recording] = {}
    for source in sources:
        if source.is_dir():
            listed = [
                (one.path, str(source / one.name))
                for one in list_folder(source.absolute(), "apply", str(source))
            ]
        elif source.exists():
            listed = [(source.absolute(), str(source))]
        else:
            raise UserError(f"{source}: there is no such file or folder; name recordings or folders of them")
        for path, name in listed:
            found.setdefault(os.path.realpath(path), Recording(path, name))
    return list(found.values())


def load_encoder(folder: Path, config: EmbedConfig) -> AudioEncoder:
    """Load an encoder folder that the user named.

    Raises:
        UserError: it is none, or damaged.
    """
    from echopair.models.audio_encoder import AudioEncoder

    try:
        return AudioEncoder.load(folder, device=config.device, precision=config.precision)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UserError(f"{error}; `echopair run` prints the folder of its encoder at the end") from error


def _windows(
    encoder: AudioEncoder, window_seconds: float | None, hop_seconds: float | None, whole: bool
) -> Windows:
    rate, crop_seconds = encoder.config.log_mel.sample_rate_hz, encoder.config.crop_seconds
    if whole:
        if window_seconds is not None or hop_seconds is not None:
            raise UserError("--whole gives a row for each recording; leave out --window and --hop")
        return Windows(None, 0)
    length = crop_seconds if window_seconds is None else window_seconds
    if not crop_seconds <= length < float("inf"):
        raise UserError(
            f"--window={length:g}: the encoder takes crops of {crop_seconds:g} s; give a window of that or more, or "
            "--whole for a row for each recording"
        )
    hop = length / 2 if hop_seconds is None else hop_seconds
    if not 1 / rate <= hop < float("inf"):
        raise UserError(f"--hop={hop:g}: give the seconds between the starts of two windows, above 0")
    return Windows(round(length * rate), round(hop * rate))


def _info(
    encoder: AudioEncoder,
    folder: Path,
    windows: Windows,
    recordings: Sequence[Recording],
    config: EmbedConfig,
) -> TableInfo:
    listed = []
    for one in recordings:
        status = one.path.stat()
        listed.append([name_as_text(one.name), status.st_size, status.st_mtime_ns])
    rate = encoder.config.log_mel.sample_rate_hz
    return TableInfo.of(
        folder,
        windows.length and windows.length / rate,
        windows.length and windows.hop / rate,
        [APPLY_VERSION, listed, config.precision],
    )


def _groups(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    group: list[Recording] = []
    size = 0
    for one in recordings:
        bytes_of_one = one.path.stat().st_size
        if group and (len(group) == GROUP_RECORDINGS or size + bytes_of_one > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += bytes_of_one
    if group:
        yield group


def _applied(file: Path, seconds: float) -> Applied:
    import pyarrow.parquet as pq

    refusals = _refusals_file(file)
    refused = 0
    if refusals.is_file():
        with refusals.open(encoding="utf-8", newline="") as lines:
            refused = sum(1 for _ in csv.reader(lines)) - 1
    return Applied(file, pq.read_metadata(file).num_rows, refused, refusals if refused else None, seconds)


def _refusals_file(table: Path) -> Path:
    return table.with_name(table.stem + ".refused.csv")


def _write_refusals(table: Path, refused: Sequence[Refusal]) -> None:
    file = _refusals_file(table)
    if not refused:
        file.unlink(missing_ok=True)  # of an earlier table
        return
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(Refusal._fields)
        writer.writerows([csv_cell(value) for value in one] for one in refused)


class _Parts:
    """The parts of a table that is being made, one for each group of recordings.

    A part is a Parquet file; beside it lies a JSON file with what was refused, which is written first.
    """

    def __init__(self, folder: Path, info: TableInfo, embedding_dim: int) -> None:
        self.folder = folder
        self._info = info
        self._schema = table_schema(embedding_dim, info)

    def check_plan(self) -> None:
        """Begin, or go on with what a killed process of the same key left.

        Raises:
            UserError: the parts there are of another key.
        """
        plan = self.folder / PLAN_FILE
        if not plan.is_file():
            write_atomically(plan, json.dumps({"key": self._info.key}) + "\n")
        if json.loads(plan.read_text())["key"] != self._info.key:
            raise UserError(
                f"{self.folder} has parts for another encoder, other recordings or other windows; delete it to "
                "begin anew, or name another file by --out"
            )
        for left in (*self.folder.glob("clips-*"), *self.folder.glob("*.new")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def is_done(self, number: int) -> bool:
        return self._file(number).is_file()

    def make(
        self,
        number: int,
        group: Sequence[Recording],
        encoder: AudioEncoder,
        windows: Windows,
        config: EmbedConfig,
        advance: Callable[[float], None],
    ) -> float:
        """Decode and embed a group of recordings; returns the seconds of sound in it."""
        rate = encoder.config.log_mel.sample_rate_hz
        with tempfile.TemporaryDirectory(prefix="clips-", dir=self.folder) as temporary:
            clips = Path(temporary)
            outcomes = decode_all("recordings", group, None, rate, PrepareConfig().min_seconds, clips)
            manifest, refused = write_store(group, outcomes, clips)
            advance(len(refused))
            write_atomically(self._file(number).with_suffix(".json"), json.dumps(refused))
            store = ClipStore(clips, rate)
            paths = manifest["path"].to_pylist()
            every = [windows.of(clip, samples) for clip, samples in enumerate(store.samples.tolist())]
            share = [1 / len(one) for one in every]
            flat = [window for one in every for window in one]
            aside = self._file(number).with_suffix(".new")
            with table_writer(aside, self._schema) as writer:
                for first in range(0, len(flat), ROWS_AT_ONCE):
                    block = flat[first : first + ROWS_AT_ONCE]
                    values = embed_windows(
                        store, block, encoder, config.batch_crops, lambda one: advance(share[one.clip])
                    )
                    writer.write_table(self._rows(block, paths, rate, values))
            aside.replace(self._file(number))
            return float(store.samples.sum() / rate)

    def _rows(
        self, block: Sequence[Window], paths: Sequence[str], rate: int, values: NDArray[np.float32]
    ) -> pa.Table:
        columns = {
            "path": [paths[one.clip] for one in block],
            "start_seconds": [one.start / rate for one in block],
            "end_seconds": [one.end / rate for one in block],
        }
        return make_rows(self._schema, columns, values)

    def merge(self, out: Path) -> None:
        """Write the table of all parts, and what was refused beside it, and remove the parts.

        Raises:
            UserError: there is no row.
        """
        import pyarrow.parquet as pq

        files = sorted(self.folder.glob("part-*.parquet"))
        refused = [
            Refusal(*one) for file in files for one in json.loads(file.with_suffix(".json").read_text())
        ]
        if not any(pq.read_metadata(file).num_rows for file in files):
            named = "; ".join(f"{one.path}: {one.reason}" for one in refused[:REFUSALS_NAMED])
            shutil.rmtree(self.folder)
            raise UserError(f"none of {len(refused)} recordings can be embedded ({named})")
        aside = self.folder / "table.new"
        with table_writer(aside, self._schema) as writer:
            for file in files:
                part = pq.ParquetFile(file)
                for group in range(part.num_row_groups):
                    writer.write_table(part.read_row_group(group))
        _write_refusals(out, refused)
        aside.replace(out)
        shutil.rmtree(self.folder)

    def _file(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"
