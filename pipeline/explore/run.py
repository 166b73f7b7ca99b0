"""Reads a table, lays it out and serves its map."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from echopair.pipeline.errors import UserError, counted
from echopair.pipeline.progress import console

PACKAGES = ("openTSNE", "starlette", "uvicorn")  # of the extra `explore`


def explore(file: Path, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the map of a table of embeddings until it is interrupted.

    Args:
        file: that `echopair apply` or a run wrote.
        port: on 127.0.0.1.
        on_ready: called with the address.

    Raises:
        UserError: no such table, a package that is missing, a port in use, or files of others in the way.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"`echopair explore` needs {package}, which is not installed: pip install 'echopair[explore]'"
            )
    from echopair.pipeline.explore.explorer import Explorer
    from echopair.pipeline.explore.labels import Labels
    from echopair.pipeline.explore.layout import layout_of
    from echopair.pipeline.explore.server import HOST, bound_socket, make_app, serve
    from echopair.pipeline.explore.table import read_table
    from echopair.pipeline.search.excerpt import missing_recordings

    with bound_socket(port) as listening:
        table = read_table(file)
        labels = Labels(table)
        explorer = Explorer(table, layout_of(table), labels)
        if missing := missing_recordings(table.excerpts):
            console.print(f"explore: {missing}", style="yellow", markup=False)
        if labels.of_other_rows:
            console.print(
                f"explore: {labels.file} has {counted(labels.of_other_rows, 'label')} of rows that the table does "
                "not have; they are kept",
                style="yellow",
                markup=False,
            )
        listening.listen()
        with suppress(KeyboardInterrupt):  # the way to end it
            on_ready(f"http://{HOST}:{port}")
            serve(make_app(explorer), listening)
