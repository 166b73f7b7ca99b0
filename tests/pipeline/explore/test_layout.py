"""The layout: near embeddings are near points, the same each time, made once."""

from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.layout import Layout, layout_of, make_layout
from echopair.pipeline.explore.table import ExploredTable
from tests.pipeline.explore.conftest import KINDS


def test_rows_are_placed_among_rows_of_their_kind(table: ExploredTable, layout: Layout) -> None:
    kinds = np.array([KINDS.index(Path(one.path).name.split("_")[0]) for one in table.excerpts])
    distances = np.linalg.norm(layout.points[:, None] - layout.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(1)] == kinds).mean() > 0.95
    assert np.abs(layout.points).max() == 1
    assert np.ptp(layout.points[:, 0]) >= np.ptp(layout.points[:, 1])


def test_a_layout_is_the_same_each_time(table: ExploredTable, layout: Layout) -> None:
    again = make_layout(table.directions)
    np.testing.assert_array_equal(again.points, layout.points)
    np.testing.assert_array_equal(again.clusters, layout.clusters)


def test_a_layout_is_read_again_and_made_anew_for_other_rows(
    table: ExploredTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("echopair.pipeline.explore.layout.make_layout", None)
        layout_of(table)
    fewer = ExploredTable(
        table.file, table.info, table.excerpts[:20], table.labels[:20], [], table.directions[:20]
    )
    assert len(layout_of(fewer).points) == 20


@pytest.mark.parametrize("rows", [1, 2, 9, 10, 31])
def test_few_rows_have_a_layout(rows: int) -> None:
    directions = np.random.default_rng(0).normal(size=(rows, 16)).astype(np.float32)
    layout = make_layout(directions)
    assert layout.points.shape == (rows, 2)
    assert np.isfinite(layout.points).all()
    assert layout.clusters.shape == (rows,)


def test_equal_rows_have_a_layout() -> None:
    assert np.isfinite(make_layout(np.zeros((40, 16), np.float32)).points).all()


@pytest.mark.parametrize("content", [b"a file of the user", b"", b"PK\x03\x04 a file of the user"])
def test_a_file_of_something_else_is_left_alone(table: ExploredTable, content: bytes) -> None:
    file = table.file.with_suffix(".layout.npz")
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"table.layout.npz is no layout of a table"):
        layout_of(table)
    assert file.read_bytes() == content
