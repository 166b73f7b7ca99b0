"""A table of embeddings in parts, so that a killed process loses no more than one."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.corpora.recording import Recording, Refusal
from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.embed_windows import Window, embed_windows
from echopair.pipeline.embedding_table import (
    TableInfo,
    begin_seconds,
    make_rows,
    recordings_of,
    table_rows,
    table_schema,
    table_writer,
)
from echopair.pipeline.errors import UserError
from echopair.pipeline.prepare import write_store
from echopair.pipeline.remote_recordings import local_copies
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.store import ClipStore
from echopair.pipeline.workers import Workers

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder

EMBEDDED_AT_ONCE = 4096
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
        from echopair.models.clip_crops import crop_starts

        if self.length is None:
            return [Window(clip, 0, samples)]
        starts = crop_starts(samples, self.length, self.hop)
        return [Window(clip, start, min(start + self.length, samples)) for start in starts.tolist()]


def refusals_file(table: Path) -> Path:
    return table.with_name(table.stem + ".refused.csv")


def _write_refusals(table: Path, refused: Sequence[Refusal]) -> None:
    file = refusals_file(table)
    if not refused:
        file.unlink(missing_ok=True)  # of an earlier table
        return
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(Refusal._fields)
        writer.writerows([csv_cell(value) for value in one] for one in refused)


class Parts:
    """The parts of a table that is being made, one for each group of recordings.

    A part is a Parquet file; beside it lies a JSON file with what was refused, which is written first.

    Args:
        folder: of the parts.
        info: of the table.
        grouping: what decides which recordings are in a part, beside the table's key; as JSON can hold it.
        embedding_dim: D.
        annotated: whether the table has labels and folds.
    """

    def __init__(
        self,
        folder: Path,
        info: TableInfo,
        grouping: Mapping[str, int],
        embedding_dim: int,
        annotated: bool = False,
    ) -> None:
        self.folder = folder
        self._base = Path(info.folder)
        self._plan = {"key": info.key, **grouping}
        self._schema = table_schema(embedding_dim, info, annotated)

    def check_plan(self) -> None:
        """Begin, or go on with what a killed process of the same key left.

        Raises:
            UserError: the parts there are of another key.
        """
        file = self.folder / PLAN_FILE
        if not file.is_file():
            write_atomically(file, json.dumps(self._plan) + "\n")
        if json.loads(file.read_text()) != self._plan:
            raise UserError(
                f"{self.folder} has parts for another encoder, other recordings or other windows; delete it to "
                "begin anew, or name another file by --out"
            )
        for left in (*self.folder.glob("clips-*"), *self.folder.glob("*.new")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def is_done(self, number: int) -> bool:
        """Whether a part is whole."""
        return self._file(number).is_file()

    def make(
        self,
        number: int,
        group: Sequence[Recording],
        workers: Workers,
        encoder: AudioEncoder,
        windows: Windows,
        config: EmbedConfig,
        advance: Callable[[float], None],
    ) -> float:
        """Decode and embed a group of recordings into a part.

        Args:
            number: of the part.
            group: the recordings.
            workers: that decode it.
            encoder: in evaluation mode.
            windows: of each recording.
            config: batch size.
            advance: called with shares of recordings that were embedded or refused.

        Returns:
            Seconds of sound in the part.
        """
        rate = encoder.config.log_mel.sample_rate_hz
        with tempfile.TemporaryDirectory(prefix="clips-", dir=self.folder) as temporary:
            clips = Path(temporary)
            with local_copies(group, self._base) as here:
                manifest, refused = write_store(here, workers.decode("recordings", here, clips), clips)
            advance(len(refused))
            write_atomically(self._file(number).with_suffix(".json"), json.dumps(refused))
            store = ClipStore(clips, rate)
            sources = recordings_of(manifest, group)
            every = [windows.of(clip, samples) for clip, samples in enumerate(store.samples.tolist())]
            share = [1 / len(one) for one in every]
            flat = [window for one in every for window in one]
            aside = self._file(number).with_suffix(".new")
            with table_writer(aside, self._schema) as writer:
                for first in range(0, len(flat), EMBEDDED_AT_ONCE):
                    block = flat[first : first + EMBEDDED_AT_ONCE]
                    values = embed_windows(
                        store, block, encoder, config.batch_crops, lambda one: advance(share[one.clip])
                    )
                    writer.write_table(self._rows(block, sources, rate, values))
            aside.replace(self._file(number))
            return float(store.samples.sum() / rate)

    def _rows(
        self, block: Sequence[Window], sources: Sequence[Recording], rate: int, values: NDArray[np.float32]
    ) -> pa.Table:
        of = [sources[window.clip] for window in block]
        begins = np.array([begin_seconds(one) for one in of])
        return make_rows(
            self._schema,
            of,
            begins + np.array([window.start for window in block]) / rate,
            begins + np.array([window.end for window in block]) / rate,
            values,
        )

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
        if not any(table_rows(file) for file in files):
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
