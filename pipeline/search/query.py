"""Embeds a sound and finds the most similar rows of a table, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.embedding_table import TableInfo, encoder_digest, read_info
from echopair.pipeline.encoder_source import encoder_folder, is_address
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.search.excerpt import Excerpt

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder

PLACES = ("path", "start_seconds", "end_seconds")
ROWS_AT_ONCE = 16384


class Hit(NamedTuple):
    """A row of the table.

    Args:
        excerpt: which part of which recording.
        similarity: of its embedding to that of the query, -1 to 1; see `similarities_to`.
    """

    excerpt: Excerpt
    similarity: float


class Found(NamedTuple):
    """What a search found.

    Args:
        hits: most similar first.
        encoder: of the table and the query.
        rows: of the table.
    """

    hits: list[Hit]
    encoder: AudioEncoder
    rows: int


def search_for(table: Path, query: Excerpt, top: int, encoder_source: str | Path | None = None) -> Found:
    """The rows whose embeddings are most similar to that of a sound (see `similarities_to`); all are compared.

    A row that overlaps the query, or a better hit, in the same recording is left out.

    Args:
        table: that `echopair apply` or a run wrote.
        query: a part of any recording.
        top: how many hits at most.
        encoder_source: the encoder that made the table, see `encoder_folder`; by default where it was then.

    Raises:
        UserError: no such table or encoder, another encoder, or a query that cannot be read.
    """
    if not table.is_file():
        raise UserError(f"{table}: there is no such file; `echopair apply` writes a table of embeddings")
    info = read_info(table)
    encoder = _encoder_of(table, info, encoder_source)
    if query.end_seconds - query.start_seconds < encoder.config.crop_seconds:
        console.print(
            f"search: the query is shorter than a crop of the encoder, {encoder.config.crop_seconds:g} s, and is "
            "repeated until it fills one",
            style="yellow",
        )
    waveform, rate = query.read()
    try:
        embedding = encoder.embed(waveform, rate).numpy()
    except ValueError as error:
        raise UserError(f"{query.path}: {error}") from error
    similarities = similarities_to(table, embedding)
    return Found(_best(table, similarities, query, top), encoder, len(similarities))


def _encoder_of(table: Path, info: TableInfo, source: str | Path | None) -> AudioEncoder:
    named = info.encoder_folder if source is None else source
    if source is None and not is_address(named) and not Path(named).is_dir():
        raise UserError(
            f"{table} was made by the encoder in {named}, which is gone; name its folder by --encoder"
        )
    with encoder_folder(named) as folder:
        encoder = load_encoder(folder, EmbedConfig())
        digest = encoder_digest(folder)
    if digest != info.encoder_sha256:
        raise UserError(
            f"{table} was made by another encoder than {named}, and their embeddings cannot be compared; name its own "
            "by --encoder, or write a table anew by `echopair apply`"
        )
    return encoder


def similarities_to(table: Path, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of each row to an embedding (D,), with every dimension standardised over the table: (rows,).

    Otherwise all similarities would be close to 1, since the means of the dimensions are large beside what differs.
    The table is read twice, in parts.
    """
    import pyarrow.parquet as pq
    from sklearn.preprocessing import StandardScaler

    rows = pq.ParquetFile(table).metadata.num_rows
    scaler = StandardScaler()
    similarities = []
    with progress_bar("search", 2 * rows, "rows") as advance:
        for part in _parts(table):
            scaler.partial_fit(part)
            advance(len(part))
        (direction,) = _normalised(scaler.transform(embedding[None]))
        for part in _parts(table):
            similarities.append(_normalised(scaler.transform(part)) @ direction)
            advance(len(part))
    return np.concatenate(similarities)


def _parts(table: Path) -> Iterator[NDArray[np.float32]]:
    """The embeddings, (rows, D) at a time."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(table).iter_batches(ROWS_AT_ONCE, columns=["embedding"]):
        column = batch["embedding"]
        yield column.flatten().to_numpy().reshape(len(column), -1)


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of norm 1; those of zeros stay zeros."""
    norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    norms[norms == 0] = 1
    return vectors / norms


def _best(table: Path, similarities: NDArray[np.float32], query: Excerpt, top: int) -> list[Hit]:
    import pyarrow.parquet as pq

    places: pa.Table = pq.read_table(table, columns=list(PLACES))
    own = Path(query.path).resolve()
    hits: list[Hit] = []
    for row in np.argsort(-similarities, kind="stable").tolist():
        path, start, end = (places[name][row].as_py() for name in PLACES)
        excerpt = Excerpt(path, start, end)
        is_query = Path(path).resolve() == own and excerpt._replace(path=query.path).overlaps(query)
        if not is_query and not any(excerpt.overlaps(hit.excerpt) for hit in hits):
            hits.append(Hit(excerpt, float(similarities[row])))
            if len(hits) == top:
                break
    return hits
