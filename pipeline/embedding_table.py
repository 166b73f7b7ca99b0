"""Embeddings as a Parquet table that other programs read; its metadata says which encoder made it, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ValidationError

from echopair.lazy import np
from echopair.pipeline.corpora.recording import Recording, name_as_text
from echopair.pipeline.encoder_source import is_address
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import digest_files, digest_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

METADATA_KEY = b"echopair"
ROWS_AT_ONCE = 16384
PLACES = ("path", "start_seconds", "end_seconds")  # of a row: which part of which recording


class TableInfo(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the metadata of a table says, as JSON.

    Args:
        encoder_sha256: of the encoder's files; embeddings of different encoders cannot be compared.
        encoder: the encoder's config, as in `encoder.json`.
        encoder_folder: absolute path of the encoder when the table was written, or its address on the Hub or in MLflow.
        window_seconds: length of the part of a recording that a row is of; None for whole recordings.
        hop_seconds: time between the starts of two windows; None for whole recordings.
        key: equal for tables of the same encoder, recordings and windows.
        folder: absolute path of the folder from which relative paths of recordings count.
    """

    format: Literal["echopair-embeddings"] = "echopair-embeddings"
    format_version: Literal[1] = 1
    encoder_sha256: str
    encoder: dict[str, Any]
    encoder_folder: str
    window_seconds: float | None
    hop_seconds: float | None
    key: str
    folder: str = ""

    @classmethod
    def of(
        cls,
        encoder: Path,
        source: str | Path,
        window_seconds: float | None,
        hop_seconds: float | None,
        inputs: Any,
    ) -> Self:
        """Of an encoder folder.

        Args:
            encoder: the folder.
            source: where it is from, see `encoder_folder`.
            window_seconds, hop_seconds: see the class.
            inputs: what decides the rows beside these, as JSON can hold it.
        """
        from echopair.models.audio_encoder import CONFIG_FILE

        digest = encoder_digest(encoder)
        return cls(
            encoder_sha256=digest,
            encoder=json.loads((encoder / CONFIG_FILE).read_text(encoding="utf-8")),
            encoder_folder=str(source) if is_address(source) else str(Path(source).absolute()),
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            key=digest_values(digest, window_seconds, hop_seconds, inputs),
            folder=str(Path.cwd()),
        )


def encoder_digest(folder: Path) -> str:
    """SHA-256 over the files of an encoder folder, 64 hexadecimal digits."""
    from echopair.models.audio_encoder import CONFIG_FILE, WEIGHTS_FILE

    return digest_files(folder / CONFIG_FILE, folder / WEIGHTS_FILE)


def table_schema(embedding_dim: int, info: TableInfo, annotated: bool = False) -> pa.Schema:
    """The columns of a table.

    Args:
        embedding_dim: D.
        info: for the metadata.
        annotated: with `labels` and `fold` of each recording.

    Returns:
        `path`, `start_seconds`, `end_seconds`, `labels` and `fold` where annotated, and `embedding`: D float32.
    """
    import pyarrow as pa

    annotations = [("labels", pa.list_(pa.string())), ("fold", pa.string())] if annotated else []
    return pa.schema(
        [
            ("path", pa.string()),
            ("start_seconds", pa.float64()),
            ("end_seconds", pa.float64()),
            *annotations,
            ("embedding", pa.list_(pa.float32(), embedding_dim)),
        ],
        metadata={METADATA_KEY: info.model_dump_json()},
    )


def recordings_of(manifest: pa.Table, recordings: Sequence[Recording]) -> list[Recording]:
    """The recording that each clip of a store was made of, in the manifest's order."""
    by_name = {name_as_text(one.name): one for one in recordings}
    return [by_name[name] for name in manifest["path"].to_pylist()]


def begin_seconds(recording: Recording) -> float:
    """Where a clip begins in its file: 0 but for excerpts."""
    return recording.excerpt[0] if recording.excerpt else 0.0


def make_rows(
    schema: pa.Schema,
    sources: Sequence[Recording],
    start_seconds: NDArray[np.float64],
    end_seconds: NDArray[np.float64],
    embeddings: NDArray[np.float32],
) -> pa.Table:
    """Rows of a table.

    Args:
        schema: of `table_schema`.
        sources: (N,) the recording of each row.
        start_seconds, end_seconds: (N,) of its part in the file.
        embeddings: (N, D).
    """
    import pyarrow as pa

    columns = {
        "path": [one.place for one in sources],
        "start_seconds": start_seconds,
        "end_seconds": end_seconds,
        "labels": [list(one.labels) for one in sources],
        "fold": [one.fold for one in sources],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1]),
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def table_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of rows. Embeddings hardly compress, and to try them as a dictionary would take longer than writing."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, schema, use_dictionary=["path"], compression="none")


def write_clips(
    file: Path,
    manifest: pa.Table,
    recordings: Sequence[Recording],
    embeddings: NDArray[np.float32],
    info: TableInfo,
) -> None:
    """Write a row for each clip of a store, with its labels and fold.

    Args:
        file: the table, replaced in one step.
        manifest: of the store.
        recordings: that the store was made of: where each clip is from.
        embeddings: (N, D), in the manifest's order.
        info: for the metadata.
    """
    sources = recordings_of(manifest, recordings)
    starts = np.array([begin_seconds(one) for one in sources])
    ends = starts + manifest["seconds"].to_numpy()
    schema = table_schema(embeddings.shape[1], info, annotated=True)
    aside = file.with_name(file.name + ".new")
    with table_writer(aside, schema) as writer:
        writer.write_table(make_rows(schema, sources, starts, ends, embeddings))
    aside.replace(file)


def read_info(file: Path) -> TableInfo:
    """What a table says of itself.

    Raises:
        UserError: there is no such file, or it is no table of embeddings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        what = "this is a folder" if file.is_dir() else "there is no such file"
        raise UserError(f"{file}: {what}; `echopair apply` writes a table of embeddings")
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


def table_rows(file: Path) -> int:
    """Number of rows of a table."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(file).num_rows)


def table_columns(file: Path) -> list[str]:
    """Names of the columns of a table."""
    import pyarrow.parquet as pq

    names: list[str] = pq.read_schema(file).names
    return names


def embedding_batches(
    file: Path, columns: Sequence[str] = ()
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
    """The rows of a table, some thousands at a time: the columns that are named, and embeddings (rows, D)."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=[*columns, "embedding"]):
        column = batch["embedding"]
        yield batch, column.flatten().to_numpy().reshape(len(column), -1)
