"""Some rows of a table of embeddings, with how similar they are to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.embedding_table import TableInfo, embedding_batches, read_info
from echopair.pipeline.errors import UserError
from echopair.pipeline.search.excerpt import Excerpt, excerpts_of, labels_of
from echopair.pipeline.search.similarity import directions, fit_scaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 200  # with a picture and a sound each, some 6 MB
FEWEST_ROWS = 3


@dataclass(frozen=True)
class Sample:
    """Rows of a table, chosen at random.

    Args:
        info: of the table.
        rows_in_table: that they were chosen from.
        excerpts: which part of which recording each row is of; no two overlap.
        labels: of each row; () where it has none.
        similarities: (N, N), the cosine of embeddings whose dimensions were standardised over the table, as
            `echopair search` compares them.
        layout: (N, 2), the first two principal components of the same vectors, scaled to norm 1.
    """

    info: TableInfo
    rows_in_table: int
    excerpts: list[Excerpt]
    labels: list[tuple[str, ...]]
    similarities: NDArray[np.float32]
    layout: NDArray[np.float32]


def sample_table(table: Path, rows: int = ROWS) -> Sample:
    """Choose rows of a table at random, the same ones each time.

    Args:
        table: that `echopair apply` or a run wrote.
        rows: how many at most.

    Raises:
        UserError: no such table, or fewer than three rows that do not overlap.
    """
    from sklearn.decomposition import PCA

    info = read_info(table)
    excerpts, labels = excerpts_of(table), labels_of(table)
    chosen = _apart(excerpts, rows)
    if len(chosen) < FEWEST_ROWS:
        raise UserError(
            f"--table={table} has {len(chosen)} parts of recordings that do not overlap; "
            f"give a table with {FEWEST_ROWS} or more"
        )
    scaler = fit_scaler(table)
    parts = []
    start = 0
    for _, part in embedding_batches(table):
        parts.append(part[[row - start for row in chosen if start <= row < start + len(part)]])
        start += len(part)
    vectors = directions(scaler, np.concatenate(parts))  # (N, D)
    return Sample(
        info,
        len(excerpts),
        [excerpts[row] for row in chosen],
        [labels[row] for row in chosen],
        vectors @ vectors.T,
        PCA(2, random_state=0).fit_transform(vectors),
    )


def _apart(excerpts: list[Excerpt], most: int) -> list[int]:
    """Numbers of some excerpts, drawn at random, in ascending order; of those that overlap one alone."""
    chosen: list[int] = []
    for row in np.random.default_rng(0).permutation(len(excerpts)).tolist():
        if not any(excerpts[row].overlaps(excerpts[other]) for other in chosen):
            chosen.append(row)
            if len(chosen) == most:
                break
    return sorted(chosen)
