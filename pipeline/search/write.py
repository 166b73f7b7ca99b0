"""The page of a search: the query and each hit, with its spectrogram and a player."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.log_mel import LogMel
from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.embedding_table import PLACES, read_info, table_rows
from echopair.pipeline.errors import UserError
from echopair.pipeline.pages import render_page
from echopair.pipeline.search.excerpt import Excerpt
from echopair.pipeline.search.picture_and_sound import picture_and_sound
from echopair.pipeline.stages import write_atomically

if TYPE_CHECKING:
    from markupsafe import Markup

    from echopair.pipeline.search.pairs import Pair
    from echopair.pipeline.search.query import Found

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PAIRS_TEMPLATE = Path(__file__).with_name("pairs.html.jinja")


@dataclass(frozen=True)
class _Shown:
    """An excerpt as the page shows it; with a reason in place of picture and sound if it cannot be read."""

    name: str
    folder: str
    time: str
    similarity: str
    picture: Markup | None
    sound: Markup | None
    range_db: str
    reason: str


def write_search_page(query: Excerpt, found: Found, table: Path, page: Path) -> None:
    """Write the page of a search: one HTML file that loads nothing from elsewhere.

    Args:
        query: what was searched for.
        found: by `search_for`.
        table: that was searched.
        page: file to write.
    """
    log_mel = LogMel(found.encoder.config.log_mel)
    excerpts = [query, *(hit.excerpt for hit in found.hits)]
    similarities = ["", *(f"{hit.similarity:.3f}" for hit in found.hits)]
    shown = [
        _show(excerpt, similarity, log_mel, len(excerpts))
        for excerpt, similarity in zip(excerpts, similarities, strict=True)
    ]
    text = render_page(
        TEMPLATE,
        table=table.name,
        rows=found.rows,
        query=shown[0],
        hits=shown[1:],
        **_range_hz(log_mel),
    )
    write_atomically(page, text)


def write_pairs_page(pairs: Sequence[Pair], table: Path, page: Path) -> None:
    """Write the page of the most similar pairs: one HTML file that loads nothing from elsewhere.

    Args:
        pairs: by `similar_pairs`.
        table: that they are of.
        page: file to write.
    """
    log_mel = LogMel(AudioEncoderConfig.model_validate(read_info(table).encoder).log_mel)
    players = 2 * len(pairs)
    shown = [
        (
            _show(pair.one, f"{pair.similarity:.3f}", log_mel, players),
            _show(pair.other, "", log_mel, players),
        )
        for pair in pairs
    ]
    text = render_page(
        PAIRS_TEMPLATE,
        table=table.name,
        rows=table_rows(table),
        pairs=shown,
        one_recording=all(pair.one.path == pair.other.path for pair in pairs),
        **_range_hz(log_mel),
    )
    write_atomically(page, text)


def _range_hz(log_mel: LogMel) -> dict[str, Any]:
    return {"min_hz": f"{log_mel.config.min_hz:,.0f}", "max_hz": f"{log_mel.config.max_hz:,.0f}"}


def _show(excerpt: Excerpt, similarity: str, log_mel: LogMel, players: int) -> _Shown:
    path = Path(excerpt.path)
    folder = "" if path.parent == Path() else str(path.parent)
    time = f"{clock(excerpt.start_seconds)} to {clock(excerpt.end_seconds)}"
    try:
        made = picture_and_sound(excerpt, log_mel, players)
    except UserError as error:
        return _Shown(path.name, folder, time, similarity, None, None, "", str(error))
    if made.seconds is not None:
        time += f", of which the first {made.seconds:.1f} s are shown"
    return _Shown(path.name, folder, time, similarity, made.picture, made.sound, made.range_db, "")


def clock(seconds: float) -> str:
    """A time in a recording, as "0:03.2" or "1:02:03.5"."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36000)
    minutes, rest = divmod(rest, 600)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{rest / 10:04.1f}"


def hit_lines(found: Found) -> list[str]:
    """A line for each hit: rank, similarity, path and time."""
    return [
        f"{rank:>3}  {hit.similarity:.3f}  {place(hit.excerpt)}"
        for rank, hit in enumerate(found.hits, start=1)
    ]


def pair_lines(pairs: Sequence[Pair]) -> list[str]:
    """A line for each pair: rank, similarity, and path and time of both parts."""
    return [
        f"{rank:>3}  {pair.similarity:.3f}  {place(pair.one)}  =  {place(pair.other)}"
        for rank, pair in enumerate(pairs, start=1)
    ]


def write_hits(file: Path, rows: Sequence[tuple[float, Sequence[Excerpt]]]) -> None:
    """Write what was found as CSV.

    Args:
        file: replaced if it is there.
        rows: a similarity, and one excerpt or two.
    """
    places = max((len(parts) for _, parts in rows), default=1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [[f"{name}_{n}" if places > 1 else name for name in PLACES] for n in range(1, places + 1)]
    writer.writerow(["rank", "similarity", *(name for part in columns for name in part)])
    for rank, (similarity, parts) in enumerate(rows, start=1):
        cells = [
            cell
            for one in parts
            for cell in (csv_cell(one.path), f"{one.start_seconds:.3f}", f"{one.end_seconds:.3f}")
        ]
        writer.writerow([rank, f"{similarity:.4f}", *cells])
    write_atomically(file, text.getvalue())


def place(excerpt: Excerpt) -> str:
    """Path and time of a part, as "dog.wav  0:03.2 to 0:04.1"."""
    return f"{excerpt.path}  {clock(excerpt.start_seconds)} to {clock(excerpt.end_seconds)}"
