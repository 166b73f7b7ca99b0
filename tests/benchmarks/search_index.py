"""Time of a query and recall at 10 of the index of a large table, against comparing all rows, on one thread.

    python -m tests.benchmarks.search_index TABLE QUERIES --rows 1000000

The rows are mixtures of two embeddings of TABLE with noise; the queries are embeddings of QUERIES, of other recordings
by the same encoder. Both are turned to 512 dimensions.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import (
    embedding_batches,
    make_rows,
    read_info,
    table_schema,
    table_writer,
)
from echopair.pipeline.search.index import open_index
from echopair.pipeline.search.similarity import directions

DIMENSIONS = 512
BLOCK = 50_000
QUERIES = 100


def embeddings_of(table: Path) -> np.ndarray:
    """All embeddings of a table, (rows, D)."""
    return np.concatenate([part for _, part in embedding_batches(table)])


def main() -> None:
    """Print the time to make the index, and time and recall of its queries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    base, queries = embeddings_of(arguments.table), embeddings_of(arguments.queries)
    scaler = StandardScaler().fit(base)
    turn = np.linalg.qr(generator.normal(size=(DIMENSIONS, DIMENSIONS)))[0][: base.shape[1]].astype(
        np.float32
    )
    base, queries = (scaler.transform(one).astype(np.float32) @ turn for one in (base, queries))
    queries = queries[generator.permutation(len(queries))[:QUERIES]]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "large.parquet")
        schema = table_schema(DIMENSIONS, read_info(arguments.table))
        with table_writer(table, schema) as writer:
            for first in range(0, arguments.rows, BLOCK):
                rows = min(BLOCK, arguments.rows - first)
                share = generator.random((rows, 1), dtype=np.float32)
                one, other = (base[generator.integers(len(base), size=rows)] for _ in range(2))
                noise = generator.normal(scale=0.1, size=(rows, DIMENSIONS)).astype(np.float32)
                starts = np.arange(first, first + rows, dtype=float)
                values = share * one + (1 - share) * other + noise
                sources = [Recording(Path("a.wav"), "a.wav")] * rows
                writer.write_table(make_rows(schema, sources, starts, starts + 1, values))
        began = time.monotonic()
        index = open_index(table)
        print(f"index of {arguments.rows:,} x {DIMENSIONS}: made in {time.monotonic() - began:.0f} s")
        size = sum(file.stat().st_size for file in Path(folder).glob("large.parquet.index*/*"))
        print(f"  {size / 1e6:,.0f} MB, the table {table.stat().st_size / 1e6:,.0f} MB")
        with np.load(next(Path(folder).glob("large.parquet.index*/scaler.npz"))) as arrays:
            scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
        wanted = directions(scaler, queries)
        similarities = np.concatenate(
            [directions(scaler, part) @ wanted.T for _, part in embedding_batches(table)]
        )
        recalls, seconds = [], []
        with threadpool_limits(1):
            for number, query in enumerate(queries):
                exact = set(np.argpartition(-similarities[:, number], 10)[:10].tolist())
                began = time.perf_counter()
                found = [row for (row, _), _ in zip(index.nearest(query), range(10), strict=False)]
                seconds.append(time.perf_counter() - began)
                recalls.append(len(exact & set(found)) / 10)
        print(
            f"  query: median {1e3 * np.median(seconds):.2f} ms, 95th percentile "
            f"{1e3 * np.quantile(seconds, 0.95):.2f} ms; recall at 10: {np.mean(recalls):.3f}"
        )


if __name__ == "__main__":
    main()
