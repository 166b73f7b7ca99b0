"""Embeddings as a Parquet table that other programs read; its metadata says which encoder made it, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from echopair.lazy import np
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

METADATA_KEY = b"echopair"


class TableInfo(BaseModel, frozen=True, extra="forbid"):
    """What the metadata of a table says, as JSON.

    Args:
        encoder_sha256: of the encoder's files; embeddings of different encoders cannot be compared.
        encoder: the encoder's config, as in `encoder.json`.
        window_seconds: length of the part of a recording that a row is of; None for whole recordings.
        hop_seconds: time between the starts of two windows; None for whole recordings.
        key: equal for tables of the same encoder, recordings and windows.
    """

    format: Literal["echopair-embeddings"] = "echopair-embeddings"
    format_version: Literal[1] = 1
    encoder_sha256: str
    encoder: dict[str, Any]
    window_seconds: float | None
    hop_seconds: float | None
    key: str


def table_schema(embedding_dim: int, info: TableInfo) -> pa.Schema:
    """Columns `path`, `start_seconds`, `end_seconds` and `embedding`, a list of `embedding_dim` float32."""
    import pyarrow as pa

    return pa.schema(
        [
            ("path", pa.string()),
            ("start_seconds", pa.float64()),
            ("end_seconds", pa.float64()),
            ("embedding", pa.list_(pa.float32(), embedding_dim)),
        ],
        metadata={METADATA_KEY: info.model_dump_json()},
    )


def make_rows(
    schema: pa.Schema,
    paths: Sequence[str],
    starts: Sequence[float],
    ends: Sequence[float],
    embeddings: NDArray[np.float32],
) -> pa.Table:
    """Rows of a table: of N windows their recordings, times in seconds and embeddings (N, D)."""
    import pyarrow as pa

    values = pa.array(embeddings.ravel())
    column = pa.FixedSizeListArray.from_arrays(values, embeddings.shape[1])
    return pa.table([paths, starts, ends, column], schema=schema)


def read_info(file: Path) -> TableInfo:
    """What a table says of itself.

    Raises:
        UserError: the file is no Parquet, or no table of embeddings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file} is no Parquet file: {error}") from error
    if METADATA_KEY not in metadata:
        raise UserError(f"{file} has no embeddings of echopair: it was not written by `echopair apply`")
    try:
        return TableInfo.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        raise UserError(f"{file}: its metadata cannot be read; write it anew by `echopair apply`") from error
