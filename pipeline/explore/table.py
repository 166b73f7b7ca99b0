"""The table that is explored: its rows, their labels, and embeddings that can be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.embedding_table import TableInfo, embedding_batches, read_info, table_columns
from echopair.pipeline.errors import UserError
from echopair.pipeline.search.excerpt import Excerpt, excerpts_of, labels_of
from echopair.pipeline.search.similarity import directions, fit_scaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As AudioMoth and Song Meter name recordings: 20240501_063000.wav, SITE_20240501_063000.wav.
_TIME_IN_NAME = re.compile(r"(?<!\d)(\d{8})[_T-](\d{6})(?!\d)")


@dataclass(frozen=True)
class ExploredTable:
    """A table of embeddings in memory.

    Args:
        file: of the table.
        info: what it says of itself.
        excerpts: which part of which recording each row is of.
        labels: of each row; none where the table has no labels.
        folds: of each row; empty where the table has none.
        directions: (rows, D) embeddings, each dimension standardised over the table, then of norm 1: their products
            are the similarities of `echopair search`.
    """

    file: Path
    info: TableInfo
    excerpts: list[Excerpt]
    labels: list[tuple[str, ...]]
    folds: list[str]
    directions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.excerpts)

    @cached_property
    def recordings(self) -> list[str]:
        """The recordings as the table names them, each once."""
        return list(dict.fromkeys(one.path for one in self.excerpts))

    def hours(self) -> list[float | None]:
        """The hour of the day at which each row begins, 0 to 24, where the recording's name has date and time."""
        begins = {path: _hour_in(Path(path).name) for path in self.recordings}
        return [
            None if (begin := begins[one.path]) is None else (begin + one.start_seconds / 3600) % 24
            for one in self.excerpts
        ]


def _hour_in(name: str) -> float | None:
    found = _TIME_IN_NAME.search(name)
    try:
        time = datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S") if found else None
    except ValueError:
        return None
    return None if time is None else time.hour + time.minute / 60 + time.second / 3600


def read_table(file: Path) -> ExploredTable:
    """Read a table of embeddings.

    Raises:
        UserError: there is no such file, it is no table of embeddings, or it has no rows.
    """
    import pyarrow.parquet as pq

    info = read_info(file)
    excerpts = excerpts_of(file)
    if not excerpts:
        raise UserError(f"{file} has no rows: no recording was embedded; write it anew by `echopair apply`")
    embeddings = np.concatenate([part for _, part in embedding_batches(file)])
    folds = pq.read_table(file, columns=["fold"])["fold"].to_pylist() if "fold" in table_columns(file) else []
    return ExploredTable(
        file,
        info,
        excerpts,
        labels_of(file),
        [one or "" for one in folds] if any(folds) else [],
        directions(fit_scaler(file), embeddings),
    )
