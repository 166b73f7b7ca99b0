"""Layouts of `echopair explore`: time, and neighbours kept, of t-SNE (openTSNE) and of UMAP.

    python -m tests.benchmarks.layout_quality TABLE [ROWS]

Neighbours kept are the share of the 10 nearest embeddings that are among the 10 nearest points, over 2,000 rows. Where
ROWS is more than TABLE has, the others are rows with noise of 0.3 standard deviations. Needs umap-learn.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from echopair.pipeline.explore.layout import COMPONENTS, make_layout
from echopair.pipeline.explore.table import read_table

NEIGHBOURS = 10
QUERIES = 2000


def nearest(points: NDArray[np.float32], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """(queries, 10) the rows nearest to some, without themselves."""
    found = (
        NearestNeighbors(n_neighbors=NEIGHBOURS + 1)
        .fit(points)
        .kneighbors(points[queries], return_distance=False)
    )
    return np.asarray(found[:, 1:])


def umap_of(directions: NDArray[np.float32], **settings: object) -> NDArray[np.float32]:
    """UMAP with its defaults; a seed makes it use one thread."""
    import umap

    return np.asarray(umap.UMAP(random_state=0, n_jobs=1, **settings).fit_transform(directions))


def main(table: str, rows: str = "0") -> None:
    """Measure all layouts and print the table."""
    directions = read_table(Path(table)).directions
    generator = np.random.default_rng(0)
    more = max(0, int(rows) - len(directions))
    copies = directions[generator.integers(len(directions), size=more)]
    noise = 0.3 * directions.std(0) * generator.normal(size=copies.shape)
    directions = normalize(np.concatenate([directions, copies + noise]).astype(np.float32))
    queries = generator.choice(len(directions), min(QUERIES, len(directions)), replace=False)
    true = nearest(directions, queries)
    layouts: dict[str, Callable[[], NDArray[np.float32]]] = {
        "first 2 principal components": lambda: PCA(2, random_state=0).fit_transform(directions),
        "UMAP, cosine": lambda: umap_of(directions, metric="cosine"),
        f"UMAP, {COMPONENTS} components": lambda: umap_of(
            PCA(COMPONENTS, svd_solver="randomized", random_state=0).fit_transform(directions)
        ),
        f"t-SNE, {COMPONENTS} components (echopair explore, with k-means)": lambda: (
            make_layout(directions).points
        ),
    }
    printed = Table("layout", "seconds", "neighbours kept", "the same again")
    for name, make in layouts.items():
        began = time.monotonic()
        points = make()
        seconds = time.monotonic() - began
        kept = [len(set(one) & set(other)) for one, other in zip(true, nearest(points, queries), strict=True)]
        printed.add_row(
            name, f"{seconds:.1f}", f"{np.mean(kept) / NEIGHBOURS:.1%}", str(np.array_equal(points, make()))
        )
    Console(width=120).print(f"{len(directions):,} rows of {directions.shape[1]} dimensions")
    Console(width=120).print(printed)


if __name__ == "__main__":
    main(*sys.argv[1:])
