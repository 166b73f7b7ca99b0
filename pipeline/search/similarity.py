"""How similar embeddings are: the cosine, with every dimension standardised over the table.

Otherwise all similarities would be close to 1, since the means of the dimensions are large beside what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.embedding_table import embedding_batches, table_rows
from echopair.pipeline.evaluation.nearest_neighbours import unit_vectors
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.preprocessing import StandardScaler


def fit_scaler(table: Path, advance: Callable[[float], None] = lambda _rows: None) -> StandardScaler:
    """Mean and deviation of each dimension of a table, read in parts; `advance` gets numbers of rows."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for _, part in embedding_batches(table):
        scaler.partial_fit(part)
        advance(len(part))
    return scaler


def directions(scaler: StandardScaler, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings (N, D), standardised and scaled to norm 1: the product of two is their similarity."""
    return unit_vectors(scaler.transform(embeddings).astype(np.float32))


def similarities_to(table: Path, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarity of each row to an embedding (D,): (rows,). The table is read twice, in parts."""
    similarities = []
    with progress_bar("search", 2 * table_rows(table), "rows") as advance:
        scaler = fit_scaler(table, advance)
        (direction,) = directions(scaler, embedding[None])
        for _, part in embedding_batches(table):
            similarities.append(directions(scaler, part) @ direction)
            advance(len(part))
    return np.concatenate(similarities)
