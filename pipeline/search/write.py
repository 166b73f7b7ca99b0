"""The page of a search: the query and each hit, with its spectrogram and a player."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.errors import UserError
from echopair.pipeline.pages import render_page
from echopair.pipeline.search.excerpt import Excerpt
from echopair.pipeline.search.picture_and_sound import picture_and_sound
from echopair.pipeline.stages import write_atomically

if TYPE_CHECKING:
    from markupsafe import Markup

    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.search.query import Found

TEMPLATE = Path(__file__).with_name("page.html.jinja")


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
    excerpts = [query, *(hit.excerpt for hit in found.hits)]
    similarities = ["", *(f"{hit.similarity:.3f}" for hit in found.hits)]
    front_end = found.encoder.config.log_mel
    shown = [
        _show(excerpt, similarity, found.encoder, len(excerpts))
        for excerpt, similarity in zip(excerpts, similarities, strict=True)
    ]
    text = render_page(
        TEMPLATE,
        table=table.name,
        rows=found.rows,
        query=shown[0],
        hits=shown[1:],
        min_hz=f"{front_end.min_hz:,.0f}",
        max_hz=f"{front_end.max_hz:,.0f}",
    )
    write_atomically(page, text)


def _show(excerpt: Excerpt, similarity: str, encoder: AudioEncoder, players: int) -> _Shown:
    path = Path(excerpt.path)
    folder = "" if path.parent == Path() else str(path.parent)
    time = f"{clock(excerpt.start_seconds)} to {clock(excerpt.end_seconds)}"
    try:
        made = picture_and_sound(excerpt, encoder.log_mel, players)
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


def hit_lines(found: Found) -> Sequence[tuple[str, str, str, str]]:
    """Rank, similarity, path and time of each hit, as texts."""
    return [
        (
            str(rank),
            f"{hit.similarity:.3f}",
            hit.excerpt.path,
            f"{clock(hit.excerpt.start_seconds)} to {clock(hit.excerpt.end_seconds)}",
        )
        for rank, hit in enumerate(found.hits, start=1)
    ]
