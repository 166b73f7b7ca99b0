"""`echopair apply`, `search` and `explore`: what is done with an encoder, beside the commands of the pipeline."""

import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from echopair.pipeline.cli import app, output


@app.command()
def apply(
    encoder: Annotated[Path, typer.Argument(help="folder of an encoder, as `echopair run` prints it")],
    recordings: Annotated[list[Path], typer.Argument(help="recordings, and folders of them")],
    out: Annotated[Path, typer.Option(help="the table to write")] = Path("embeddings.parquet"),
    window: Annotated[
        float | None,
        typer.Option(help="seconds of a row; by default a crop of the encoder", show_default=False),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="seconds between the starts of two windows; by default half a window", show_default=False
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="one row for each recording")] = False,
) -> None:
    """Embed any recordings with an encoder, into a Parquet table; continues where a killed one stopped."""
    from echopair.pipeline.apply import apply as apply_encoder

    began = time.monotonic()
    done = apply_encoder(encoder, recordings, out, window_seconds=window, hop_seconds=hop, whole=whole)
    lines = [f"embeddings  {done.file}: {done.rows:,} rows"]
    if done.seconds_of_audio:
        seconds = time.monotonic() - began
        lines[0] += f", {done.seconds_of_audio:,.0f} s of audio in {seconds:,.0f} s"
    if done.refusals:
        lines.append(f"refused     {done.refusals}: {done.refused:,} recordings")
    output.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


@app.command()
def search(
    table: Annotated[Path, typer.Argument(help="table of embeddings that `echopair apply` or a run wrote")],
    query: Annotated[Path, typer.Argument(help="recording to search for")],
    start: Annotated[
        float | None, typer.Option(help="seconds where the query begins in it", show_default=False)
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="seconds where the query ends", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(help="hits at most", min=1, max=200)] = 20,
    encoder: Annotated[
        Path | None,
        typer.Option(help="folder of the table's encoder, if it has moved since", show_default=False),
    ] = None,
    page: Annotated[Path, typer.Option(help="the page to write")] = Path("search.html"),
) -> None:
    """The parts of recordings that sound most like a query, as a table and a page to listen to."""
    from echopair.pipeline.search import hit_lines, query_excerpt, search_for, write_search_page

    excerpt = query_excerpt(query, start, end)
    found = search_for(table, excerpt, top, encoder)
    for rank, similarity, path, place in hit_lines(found):
        output.print(
            f"{rank:>3}  {similarity}  {path}  {place}", soft_wrap=True, highlight=False, markup=False
        )
    write_search_page(excerpt, found, table, page)
    output.print(f"page  {page}", soft_wrap=True, highlight=False, markup=False)


@app.command()
def explore(
    table: Annotated[Path, typer.Argument(help="table of embeddings that `echopair apply` or a run wrote")],
    port: Annotated[int, typer.Option(help="port on 127.0.0.1", min=1, max=65535)] = 5050,
) -> None:
    """A map of the embeddings to listen to and to label, on 127.0.0.1 until Ctrl-C."""
    from echopair.pipeline.explore.run import explore as serve_map

    serve_map(table, port, on_ready=_show_map)


def _show_map(address: str) -> None:
    output.print(f"map  {address}   (Ctrl-C ends it)", soft_wrap=True, highlight=False, markup=False)
    if output.is_terminal:
        webbrowser.open(address)
