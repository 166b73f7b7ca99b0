"""Embeds a sound and finds the most similar rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.embedding_table import TableInfo, encoder_digest, read_info, table_rows
from echopair.pipeline.encoder_source import encoder_folder, is_address
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console
from echopair.pipeline.search.excerpt import Excerpt, excerpts_of
from echopair.pipeline.search.index import open_index
from echopair.pipeline.search.similarity import similarities_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder

SILENCE = 1e-3  # peak, -60 dBFS
EXACT_ROWS = 100_000  # some 30 ms and 400 MB with 512 dimensions, beside the time to read the table


class Hit(NamedTuple):
    """A row of the table.

    Args:
        excerpt: which part of which recording.
        similarity: of its embedding to that of the query, -1 to 1; see `search.similarity`.
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
    """The rows whose embeddings are most similar to that of a sound; see `ranked_rows`.

    A row that overlaps the query, or a better hit, in the same recording is left out.

    Args:
        table: that `echopair apply` or a run wrote.
        query: a part of any recording.
        top: how many hits at most.
        encoder_source: the encoder that made the table, see `encoder_folder`; by default where it was then.

    Raises:
        UserError: no such table or encoder, another encoder, or a query that cannot be read.
    """
    info = read_info(table)
    encoder = _encoder_of(table, info, encoder_source)
    if query.end_seconds - query.start_seconds < encoder.config.crop_seconds:
        console.print(
            f"search: the query is shorter than a crop of the encoder, {encoder.config.crop_seconds:g} s, and is "
            "repeated until it fills one",
            style="yellow",
        )
    waveform, rate = query.read()
    length = query.end_seconds - query.start_seconds
    if info.window_seconds is not None and length > 2 * info.window_seconds:
        console.print(
            f"search: the query of {length:.1f} s is compared with parts of {info.window_seconds:g} s; --start and "
            "--end choose a part of it",
            style="yellow",
        )
    if np.abs(waveform).max() < SILENCE:
        console.print("search: the query is silent: what is found is silent too", style="yellow")
    try:
        embedding = encoder.embed(waveform, rate).numpy()
    except ValueError as error:
        raise UserError(f"{query.path}: {error}") from error
    hits = _best(table, ranked_rows(table, embedding), query, top)
    return Found(hits, encoder, table_rows(table))


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


def ranked_rows(table: Path, embedding: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Rows of a table and their similarity to an embedding (D,), most similar first.

    All rows are compared up to `EXACT_ROWS`; of more, those that an index finds, which is made the first time.
    """
    rows = table_rows(table)
    if rows > EXACT_ROWS:
        if find_spec("usearch"):
            return open_index(table).nearest(embedding)
        console.print(
            f"search: all {rows:,} rows are compared; pip install 'echopair[search]' adds an index for large tables",
            style="yellow",
            markup=False,
        )
    similarities = similarities_to(table, embedding)
    order = np.argsort(-similarities, kind="stable")
    return zip(order.tolist(), similarities[order].tolist(), strict=True)


def _best(table: Path, ranked: Iterable[tuple[int, float]], query: Excerpt, top: int) -> list[Hit]:
    excerpts = excerpts_of(table)
    own = Path(query.path).resolve()
    hits: list[Hit] = []
    for row, similarity in ranked:
        excerpt = excerpts[row]
        is_query = Path(excerpt.path).resolve() == own and excerpt._replace(path=query.path).overlaps(query)
        if not is_query and not any(excerpt.overlaps(hit.excerpt) for hit in hits):
            hits.append(Hit(excerpt, similarity))
            if len(hits) == top:
                break
    return hits
