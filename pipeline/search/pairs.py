"""The most similar pairs of recordings of a table, all compared with all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embedding_table import PLACES, embedding_batches, read_info, table_rows
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.search.excerpt import Excerpt, excerpts_of
from echopair.pipeline.search.similarity import directions, fit_scaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 1024
SPARE = 20  # candidates for each pair of parts of one recording, since several overlap


class Pair(NamedTuple):
    """Two parts of recordings that sound alike.

    Args:
        one, other: the parts.
        similarity: of their embeddings, -1 to 1; see `search.similarity`.
    """

    one: Excerpt
    other: Excerpt
    similarity: float


def similar_pairs(table: Path, most: int) -> list[Pair]:
    """The most similar parts of two recordings each, most similar first.

    Every two recordings are in the list once at most, with their most similar parts. Of a table with one recording the
    pairs are of parts of it, of which none overlaps one of a better pair.

    Args:
        table: that `echopair apply` or a run wrote; its embeddings are held in memory.
        most: how many pairs at most.

    Raises:
        UserError: no such table, or one with a single row.
    """
    read_info(table)
    rows = table_rows(table)
    if rows < 2:
        raise UserError(f"{table} has {rows} rows, and a pair needs two")
    excerpts = excerpts_of(table)
    recordings = np.unique([one.path for one in excerpts], return_inverse=True)[1]  # (rows,)
    if recordings.max() > 0:
        return [
            Pair(excerpts[one], excerpts[other], similarity)
            for similarity, one, other in _best_of_groups(table, recordings, most)
        ]
    pairs: list[Pair] = []
    for similarity, one, other in _best_of_groups(table, np.arange(rows), SPARE * most, apart=True):
        pair = Pair(excerpts[one], excerpts[other], similarity)
        if not any(part.overlaps(seen) for part in pair[:2] for better in pairs for seen in better[:2]):
            pairs.append(pair)
    return pairs[:most]


def _best_of_groups(
    table: Path, groups: NDArray[np.int64], most: int, apart: bool = False
) -> list[tuple[float, int, int]]:
    """Similarity and rows of the most similar pairs of rows of two groups, one for each two groups; best first.

    Args:
        table: with embeddings.
        groups: (rows,) of each row.
        most: how many pairs at most.
        apart: whether rows that overlap in time are no pair.
    """
    import pyarrow.parquet as pq

    order = np.argsort(groups, kind="stable")
    scaler = fit_scaler(table)
    vectors = np.concatenate([directions(scaler, part) for _, part in embedding_batches(table)])[order]
    starts, ends = (column.to_numpy()[order] for column in pq.read_table(table, columns=list(PLACES[1:])))
    begins = np.unique(groups[order], return_index=True)[1]  # first row of each group
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    with progress_bar("pairs", len(order), "rows") as advance:
        for first in range(0, len(order), BLOCK_ROWS):
            rows = min(BLOCK_ROWS, len(order) - first)
            similarities = vectors[first : first + rows] @ vectors[first:].T  # (rows, rows from the first on)
            if apart:
                begin, end = starts[first : first + rows, None], ends[first : first + rows, None]
                similarities[(starts[first:] < end) & (begin < ends[first:])] = -np.inf
            group = int(np.searchsorted(begins, first, "right")) - 1  # of the first row
            columns = np.maximum(begins[group:] - first, 0)
            of_block = columns[columns < rows]
            highest = np.maximum.reduceat(
                np.maximum.reduceat(similarities, columns, axis=1), of_block, axis=0
            )
            highest[np.tril_indices(len(of_block), m=len(columns))] = -np.inf  # itself, and what was compared
            lowest = min(one[0] for one in best.values()) if len(best) >= most else -np.inf
            above = np.flatnonzero(highest.ravel() > lowest)
            above = above[np.argsort(-highest.ravel()[above], kind="stable")[:most]]
            for i, j in zip(*np.unravel_index(above, highest.shape), strict=True):
                part = similarities[
                    of_block[i] : _end(of_block, i, rows), columns[j] : _end(columns, j, None)
                ]
                row, column = np.unravel_index(part.argmax(), part.shape)
                found = (float(part[row, column]), first + of_block[i] + row, first + columns[j] + column)
                key = (group + int(i), group + int(j))
                best[key] = max(best.get(key, found), found)
            best = dict(sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:most])
            advance(rows)
    return [(similarity, int(order[one]), int(order[other])) for similarity, one, other in best.values()]


def _end(begins: NDArray[np.int64], number: int, end: int | None) -> int | None:
    return int(begins[number + 1]) if number + 1 < len(begins) else end
