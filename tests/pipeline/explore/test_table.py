"""The table that is explored: comparable embeddings, times of day, and what is no table."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.table import ExploredTable, read_table
from echopair.pipeline.search.excerpt import Excerpt
from echopair.pipeline.search.query import similarities_to


def test_products_of_directions_are_the_similarities_of_search(table: ExploredTable) -> None:
    embedding = np.asarray(pq.read_table(table.file)["embedding"][3].as_py(), np.float32)
    np.testing.assert_allclose(
        table.directions @ table.directions[3], similarities_to(table.file, embedding), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "hour"),
    [
        ("20240501_063000.wav", 6.5),
        ("SITE-4_20240501_233000.WAV", 23.5),
        ("2024-05-01T06.wav", None),
        ("20241301_063000.wav", None),
        ("120240501_0630001.wav", None),
    ],
)
def test_the_time_of_day_is_that_in_the_name(table: ExploredTable, name: str, hour: float | None) -> None:
    excerpts = [Excerpt(f"/night/{name}", 0, 1), Excerpt(f"/night/{name}", 3600, 3601)]
    expected = [None, None] if hour is None else [hour, (hour + 1) % 24]
    changed = ExploredTable(table.file, table.info, excerpts, [(), ()], [], table.directions[:2])
    assert changed.hours() == expected


def test_what_is_no_table_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"gone.parquet: there is no such file; `echopair apply`"):
        read_table(folder / "gone.parquet")
    (folder / "text.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"text.parquet is no Parquet file"):
        read_table(folder / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), folder / "other.parquet")
    with pytest.raises(UserError, match=r"other.parquet has no embeddings of echopair"):
        read_table(folder / "other.parquet")
    rows = pq.read_table(folder / "table.parquet")
    pq.write_table(rows.slice(0, 0), folder / "empty.parquet")
    with pytest.raises(UserError, match=r"empty.parquet has no rows"):
        read_table(folder / "empty.parquet")
