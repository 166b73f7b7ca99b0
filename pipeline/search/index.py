"""An index of a large table, by which a search compares some thousand rows in place of all: HNSW of usearch.

usearch and not faiss: on 100,000 rows it found all of the ten nearest of queries from elsewhere in 0.3 ms, where an
inverted index of faiss took 0.5 to 1.0 ms; it keeps half the bytes (float16), and opens its file by memory mapping
without reading it (see docs/results.md).

Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
Small World graphs", TPAMI 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import np
from echopair.pipeline.cores import available_cores
from echopair.pipeline.embedding_table import embedding_batches, read_info, table_rows
from echopair.pipeline.prepare import size_and_time
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.search.similarity import directions, fit_scaler
from echopair.pipeline.stages import StageOutput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.preprocessing import StandardScaler

INDEX_VERSION = 1
INDEX_FILE, SCALER_FILE = "index.usearch", "scaler.npz"
CONNECTIVITY, EXPANSION_ADD = 16, 128  # M and efConstruction of the paper
EXPANSION_SEARCH = 128  # ef of the paper; recall at 10 is 1.00 on 100,000 rows, measured
FIRST_ROWS = 256


class TableIndex:
    """The rows of a table by their direction, opened without reading them into memory.

    Args:
        folder: that `open_index` made.
        embedding_dim: D.
    """

    def __init__(self, folder: Path, embedding_dim: int) -> None:
        from sklearn.preprocessing import StandardScaler

        self._index = _empty(embedding_dim)
        self._index.view(str(folder / INDEX_FILE))
        self._scaler = StandardScaler()
        with np.load(folder / SCALER_FILE, allow_pickle=False) as arrays:
            self._scaler.mean_, self._scaler.scale_ = arrays["mean"], arrays["scale"]

    def nearest(self, embedding: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
        """Rows and similarities, most similar first; more are looked up as they are asked for."""
        (direction,) = directions(self._scaler, embedding[None])
        given: set[int] = set()
        wanted = min(FIRST_ROWS, len(self._index))
        while wanted > len(given):
            self._index.expansion_search = max(EXPANSION_SEARCH, wanted)
            found = self._index.search(direction, wanted, threads=1)
            for row, distance in zip(found.keys.tolist(), found.distances.tolist(), strict=True):
                if row not in given:
                    given.add(row)
                    yield row, 1 - distance
            if wanted == len(self._index):
                return
            wanted = min(4 * wanted, len(self._index))


def open_index(table: Path) -> TableIndex:
    """The index of a table, in a folder beside it, made now unless it is there."""
    info = read_info(table)
    output = StageOutput(
        f"index {table.name}",
        table.with_name(f"{table.name}.index"),
        [info.key, info.encoder_sha256, size_and_time(table)],
        INDEX_VERSION,
        ("usearch", "scikit-learn"),
    )
    _, first = next(embedding_batches(table))
    done = output.make(lambda folder: _build(table, folder, first.shape[1]))
    return TableIndex(done.folder, first.shape[1])


def _empty(embedding_dim: int) -> Any:
    from usearch.index import Index

    return Index(
        ndim=embedding_dim,
        metric="ip",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
    )


def _build(table: Path, folder: Path, embedding_dim: int) -> dict[str, Any]:
    rows = table_rows(table)
    index = _empty(embedding_dim)
    first = 0
    with progress_bar(f"index {table.name}", 2 * rows, "rows") as advance:
        scaler: StandardScaler = fit_scaler(table, advance)
        for _, part in embedding_batches(table):
            keys = np.arange(first, first + len(part))
            index.add(keys, directions(scaler, part), threads=available_cores())
            first += len(part)
            advance(len(part))
    index.save(str(folder / INDEX_FILE))
    np.savez(folder / SCALER_FILE, mean=scaler.mean_, scale=scaler.scale_)
    return {"digest": "", "rows": rows}
