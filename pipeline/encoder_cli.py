"""`echopair apply`, `search` and `export`: what is done with an encoder, beside the commands of the pipeline."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from echopair.pipeline.cli import app, output

EncoderArgument = Annotated[
    str,
    typer.Argument(
        help="folder of an encoder, as `echopair run` prints it; or hf://OWNER/NAME, runs:/RUN_ID/encoder, models:/..."
    ),
]


class ExportFormat(StrEnum):
    """What an encoder is exported as."""

    ONNX = "onnx"
    HUB = "hub"


@app.command()
def apply(
    encoder: EncoderArgument,
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
        str | None,
        typer.Option(help="the table's encoder, if it has moved since", show_default=False),
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
def export(
    encoder: EncoderArgument,
    to: Annotated[
        ExportFormat,
        typer.Option(
            help="onnx: one file that needs neither torch nor echopair; hub: a folder for the Hugging Face Hub, with a "
            "model card"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="file or folder to write (default: encoder.onnx or encoder-hub)", show_default=False
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="hub: of the encoder, as apache-2.0 or cc-by-4.0", show_default=False),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="hub: upload the folder to this repository; a new one is private",
            show_default=False,
        ),
    ] = None,
) -> None:
    """An encoder as an ONNX file, verified against it, or as a repository for the Hugging Face Hub."""
    from echopair.pipeline import export as exporting
    from echopair.pipeline.errors import UserError

    if to is ExportFormat.HUB:
        written = exporting.export_hub(encoder, out or Path("encoder-hub"), licence=licence, push=push)
        done = written.onnx
        lines = [f"folder    {written.folder}: README.md, encoder.json, encoder.safetensors, encoder.onnx"]
        if written.commit:
            lines.append(f"pushed    {written.commit}")
        if not licence:
            lines.append("license   none; --license names one, or the header of README.md")
    elif licence or push:
        raise UserError(f"{'--push' if push else '--license'} is of --to hub; leave it out for --to onnx")
    else:
        done = exporting.export_onnx(encoder, out or Path("encoder.onnx"))
        lines = [f"onnx      {done.file}: {done.file.stat().st_size / 1e6:,.1f} MB"]
    lines += [
        f"input     waveforms: (recordings, samples) float32 at {done.sample_rate_hz:,} Hz",
        f"output    embeddings: (recordings, {done.embedding_dim}) float32",
        f"verified  differs from the encoder by {done.difference:.1e} at most, on sounds of 0.3 to 60 s",
    ]
    output.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
