"""The index of a large table: what it finds, and when it is made."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.search import query
from echopair.pipeline.search.index import open_index
from echopair.pipeline.search.query import ranked_rows

ROWS, DIMENSIONS = 4000, 24


def write_table(file: Path, seed: int, key: str = "") -> np.ndarray:
    """Rows of overlapping clusters; returns queries near them."""
    generator = np.random.default_rng(seed)
    centres = 2 * generator.normal(size=(60, DIMENSIONS))
    rows = centres[generator.integers(60, size=ROWS)] + generator.normal(size=(ROWS, DIMENSIONS)) + 9
    info = TableInfo(
        encoder_sha256="", encoder={}, encoder_folder="", window_seconds=1, hop_seconds=1, key=key
    )
    sources = [Recording(Path("a.wav"), "a.wav")] * ROWS
    starts = np.arange(float(ROWS))
    schema = table_schema(DIMENSIONS, info)
    pq.write_table(make_rows(schema, sources, starts, starts + 1, rows.astype(np.float32)), file)
    return (rows + 0.3 * generator.normal(size=rows.shape)).astype(np.float32)


def test_the_index_finds_the_nearest_rows_of_queries_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t.parquet"
    queries = write_table(table, 0)[:50]
    exact = [list(ranked_rows(table, one)) for one in queries]
    assert not list(tmp_path.glob("t.parquet.index*"))
    monkeypatch.setattr(query, "EXACT_ROWS", ROWS - 1)
    found = [list(ranked_rows(table, one)) for one in queries]
    recall = [
        len({row for row, _ in one[:10]} & {row for row, _ in other[:10]}) / 10
        for one, other in zip(exact, found, strict=True)
    ]
    assert np.mean(recall) > 0.95
    row, similarity = found[0][0]
    assert similarity == pytest.approx(dict(exact[0])[row], abs=2e-3)  # float16
    assert len(found[0]) > 0.95 * ROWS  # as many as are asked for
    assert len({row for row, _ in found[0]}) == len(found[0])


def test_an_index_is_made_once_and_again_for_another_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.parquet"
    write_table(table, 0, "one")
    open_index(table)
    open_index(table)
    assert "index t.parquet: done before" in capsys.readouterr().err
    one_query = write_table(table, 1, "another")[7]
    (row, _), *_ = open_index(table).nearest(one_query)
    exact, *_ = ranked_rows(table, one_query)
    assert row == exact[0]


def test_without_usearch_all_rows_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.parquet"
    one_query = write_table(table, 0)[7]
    monkeypatch.setattr(query, "EXACT_ROWS", 10)
    monkeypatch.setattr(query, "find_spec", lambda _name: None)
    assert len(list(ranked_rows(table, one_query))) == ROWS
    assert "pip install 'echopair[search]' adds an index" in " ".join(capsys.readouterr().err.split())
