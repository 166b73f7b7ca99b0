"""`search --pairs`: the same as comparing all rows one by one."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.errors import UserError
from echopair.pipeline.search import Excerpt, pairs, similar_pairs


def write_table(folder: Path, recordings: Sequence[int]) -> Path:
    """Windows of a second, half a second apart within each recording."""
    generator = np.random.default_rng(0)
    counts: dict[int, int] = {}
    starts = []
    for one in recordings:
        counts[one] = counts.get(one, -1) + 1
        starts.append(counts[one] / 2)
    info = TableInfo(
        encoder_sha256="", encoder={}, encoder_folder="", window_seconds=1, hop_seconds=0.5, key=""
    )
    sources = [Recording(Path(f"{one}.wav"), f"{one}.wav") for one in recordings]
    begin = np.array(starts)
    rows = generator.normal(3, 2, size=(len(recordings), 6)).astype(np.float32)
    pq.write_table(make_rows(table_schema(6, info), sources, begin, begin + 1, rows), folder / "t.parquet")
    return folder / "t.parquet"


def all_pairs(table: Path) -> list[tuple[float, Excerpt, Excerpt]]:
    rows = pq.read_table(table).to_pylist()
    values = np.array([row["embedding"] for row in rows])
    values = (values - values.mean(0)) / values.std(0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    excerpts = [Excerpt(row["path"], row["start_seconds"], row["end_seconds"]) for row in rows]
    found = [
        (float(values[i] @ values[j]), excerpts[i], excerpts[j]) for i, j in combinations(range(len(rows)), 2)
    ]
    return sorted(found, key=lambda one: -one[0])


@pytest.mark.parametrize("block", [3, 16, 1000])
def test_every_two_recordings_come_once_with_their_best_parts(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", block)
    table = write_table(tmp_path, [0] * 9 + [1, 2, 3] + [4] * 20 + [5] * 2 + [0] * 4)
    expected: dict[frozenset[str], float] = {}
    for similarity, one, other in all_pairs(table):
        if one.path != other.path:
            expected.setdefault(frozenset((one.path, other.path)), similarity)
    found = similar_pairs(table, 10)
    assert [pair.similarity for pair in found] == pytest.approx(list(expected.values())[:10], abs=1e-5)
    assert [frozenset((pair.one.path, pair.other.path)) for pair in found] == list(expected)[:10]
    assert len(similar_pairs(table, 100)) == 15  # of six recordings


def test_pairs_within_one_recording_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 7)
    table = write_table(tmp_path, [0] * 40)
    expected: list[tuple[float, Excerpt, Excerpt]] = []
    for similarity, one, other in all_pairs(table):
        parts = [part for pair in expected for part in pair[1:]]
        if not one.overlaps(other) and not any(a.overlaps(b) for a in (one, other) for b in parts):
            expected.append((similarity, one, other))
    found = similar_pairs(table, 4)
    assert [(pair.one, pair.other) for pair in found] == [pair[1:] for pair in expected[:4]]


def test_a_table_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 1 rows, and a pair needs two"):
        similar_pairs(write_table(tmp_path, [0]), 5)
