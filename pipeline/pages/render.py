"""Renders a page from its template on the base template."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from markupsafe import Markup

BASE_FOLDER = Path(__file__).parent
CHARACTERS_SHOWN = 240
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
CSS_PIXELS_PER_INCH = 96


def render_page(
    template: Path, *, script: str = "", filters: dict[str, Callable[..., Any]] | None = None, **content: Any
) -> str:
    """Render a page as one HTML text that loads nothing from elsewhere.

    Texts are escaped, and shown as `printable` returns them; `markupsafe.escape` exempts one from being cut.

    Args:
        template: file that extends `base.html.jinja`; it may import macros from `parts.html.jinja`.
        script: JavaScript of the page; the browser runs no other.
        filters: functions that the template uses, by name.
        content: what the template shows, by name; a name that is missing is an error.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, BASE_FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(
        **content,
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def check_page(page: Path) -> None:
    """Refuse a page that could not be written, before the work for it.

    Raises:
        UserError: there is no such folder, or the page is one.
    """
    if not page.parent.is_dir() or page.is_dir():
        raise UserError(f"--page={page} is no file in a folder that exists; name another, as page.html")


def printable(text: str, characters: int = CHARACTERS_SHOWN) -> str:
    """A text of any origin, at most so long, with control characters and lone surrogates spelled out."""
    if len(text) > characters:
        text = f"{text[: characters // 2]} … {text[-characters // 2 :]}"
    return "".join(
        c if c.isprintable() or c == NO_BREAK_SPACE else c.encode("unicode_escape").decode() for c in text
    )


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # numbers, and markup that is finished


class EmbeddedPng(NamedTuple):
    """A figure within a page: its address, and its width in CSS pixels, at which its letters have their size."""

    address: "Markup"
    width: int


def embedded_png(png: bytes, dots_per_inch: int) -> EmbeddedPng:
    """A PNG for the `drawn` macro."""
    return EmbeddedPng(
        embedded("image/png", png),
        round(int.from_bytes(png[16:20], "big") * CSS_PIXELS_PER_INCH / dots_per_inch),
    )


def embedded(media_type: str, content: bytes) -> "Markup":
    """A file as an address that holds its content, for `src` attributes."""
    from markupsafe import Markup

    return Markup(f"data:{media_type};base64,{base64.b64encode(content).decode()}")
