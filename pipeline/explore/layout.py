"""Places the rows of a table on a plane, so that rows that sound alike are near each other; cached beside the table."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile

from echopair.lazy import np
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import digest_values, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.explore.table import ExploredTable

LAYOUT_VERSION = 1
# t-SNE finds neighbours among few dimensions; 50 components, as van der Maaten and Hinton take (2008, section 4.2).
COMPONENTS = 50
PERPLEXITY = 30  # of t-SNE, its usual default
CLUSTERS = 10  # as many as there are colours
# Fewer rows, or equal ones, have no neighbourhoods: they are placed by their first two principal components.
FEWEST_ROWS = 10
# 250 iterations with exaggerated attraction and 500 without, the defaults of openTSNE.
ITERATIONS = 750
ITERATIONS_A_REPORT = 25


class Layout(NamedTuple):
    """Where rows are drawn.

    Args:
        points: (rows, 2) within -1..1.
        clusters: (rows,) of k-means, 0 for the largest one.
    """

    points: NDArray[np.float32]
    clusters: NDArray[np.int64]


def layout_of(table: ExploredTable) -> Layout:
    """The layout in `TABLE.layout.npz` beside the table, made and written if it is not there or of other rows.

    t-SNE kept more neighbours than UMAP at the same time (tests/benchmarks/layout_quality.py). The same table gives
    the same layout.

    Raises:
        UserError: a file of something else has the name of the layout.
    """
    import openTSNE

    file = table.file.with_suffix(".layout.npz")
    key = digest_values(LAYOUT_VERSION, openTSNE.__version__, table.info.key, len(table))
    if file.exists() and (found := _read(file, key)) is not None:
        return found
    layout = make_layout(table.directions)
    content = io.BytesIO()
    np.savez(content, echopair_layout=key, **layout._asdict())
    write_atomically(file, content.getvalue())
    return layout


def _read(file: Path, key: str) -> Layout | None:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Layout(arrays["points"], arrays["clusters"]) if arrays["echopair_layout"] == key else None
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise UserError(
            f"{file} is no layout of a table, and `echopair explore` would write its own there; move it away"
        ) from error


def make_layout(directions: NDArray[np.float32]) -> Layout:
    """Lay out embeddings by t-SNE, and cluster them by k-means.

    Args:
        directions: (rows, D) embeddings, standardised and of norm 1.

    Source: openTSNE, Policar, Strazar and Zupan, Journal of Statistical Software 109, 2024.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    if len(directions) < FEWEST_ROWS or not np.ptp(directions, axis=0).any():
        return Layout(_within_plane(_turned(directions)[:, :2]), np.zeros(len(directions), np.int64))
    components = min(COMPONENTS, *directions.shape)
    reduced = PCA(components, svd_solver="randomized", random_state=0).fit_transform(directions)
    points = _turned(_embedded_in_plane(reduced))  # rotations change nothing for t-SNE, and screens are wide
    clusters = KMeans(CLUSTERS, n_init=3, random_state=0).fit_predict(reduced)
    by_size = np.argsort(np.argsort(-np.bincount(clusters), kind="stable"))
    return Layout(_within_plane(points), by_size[clusters])


def _turned(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points along their principal axes, the longest first: (rows, at most as many dimensions)."""
    left, lengths, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return np.asarray(left * lengths)


def _within_plane(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Points of at most two dimensions, moved and scaled into -1..1."""
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    extent = float(np.abs(points).max()) or 1.0
    return (points / extent).astype(np.float32)


def _embedded_in_plane(reduced: NDArray[np.float32]) -> NDArray[np.float64]:
    import openTSNE

    with progress_bar("layout", ITERATIONS, "iterations") as advance:

        def report(_iteration: int, _error: float, _points: NDArray[np.float64]) -> None:
            advance(ITERATIONS_A_REPORT)

        tsne = openTSNE.TSNE(
            perplexity=min(PERPLEXITY, (len(reduced) - 1) / 3),
            random_state=0,
            n_jobs=1,  # another number changes the sums, and saves no time
            callbacks=report,
            callbacks_every_iters=ITERATIONS_A_REPORT,
        )
        return np.asarray(tsne.fit(reduced))
