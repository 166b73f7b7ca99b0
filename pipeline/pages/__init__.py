"""What all HTML pages share: a base template, a stylesheet, and `render_page`.

A page is a template that extends `base.html.jinja`; it loads nothing from elsewhere, so it opens offline and as an
artifact in MLflow.
"""

from echopair.pipeline.pages.render import (
    EmbeddedPng,
    check_page,
    embedded,
    embedded_png,
    printable,
    render_page,
)

__all__ = ["EmbeddedPng", "check_page", "embedded", "embedded_png", "printable", "render_page"]
