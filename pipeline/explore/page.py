"""The page of the map, on the base template of all pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echopair.pipeline.pages import render_page

TEMPLATE = Path(__file__).with_name("page.html.jinja")
STATIC_FOLDER = Path(__file__).with_name("static")


def explore_page(
    table: Path, rows: int, recordings: int, labels_file: Path, corpus: Mapping[str, Any]
) -> str:
    """The page as HTML; it loads its scripts and the rows from the server.

    Args:
        table: that is explored.
        rows: of it.
        recordings: of it.
        labels_file: where labels are written.
        corpus: config of a corpus that reads the labels.
    """
    import yaml

    config = {"corpora": {"labelled": dict(corpus)}, "probe": {"corpora": ["labelled"]}}
    return render_page(
        TEMPLATE,
        table=table.name,
        rows=rows,
        recordings=recordings,
        labels_file=labels_file.name,
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    )
