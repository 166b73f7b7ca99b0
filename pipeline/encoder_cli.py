"""`echopair apply`, `label`, `search`, `explore`, `export` and `play`: what is done with an encoder."""

import time
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from echopair.pipeline.cli import app, output
from echopair.pipeline.errors import UserError
from echopair.pipeline.label_tracks import LabelFormat

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
    recordings: Annotated[
        list[str],
        typer.Argument(
            help="recordings, folders of them, URIs such as s3://BUCKET/FOLDER, and YAML files of a run, whose labels "
            "ride along"
        ),
    ],
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
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="embed on all nodes of this Ray cluster: host:port, or auto for that of this machine",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Embed any recordings with an encoder, into a Parquet table; continues where a killed one stopped."""
    from echopair.pipeline.apply import apply as apply_encoder
    from echopair.pipeline.ray_cluster import ray_config

    began = time.monotonic()
    ray = None if ray_address is None else ray_config(ray_address)
    done = apply_encoder(
        encoder, recordings, out, window_seconds=window, hop_seconds=hop, whole=whole, ray=ray
    )
    lines = [f"embeddings  {done.file}: {done.rows:,} rows"]
    if done.seconds_of_audio:
        seconds = time.monotonic() - began
        lines[0] += f", {done.seconds_of_audio:,.0f} s of audio in {seconds:,.0f} s"
    if done.refusals:
        lines.append(f"refused     {done.refusals}: {done.refused:,} recordings")
    _print(*lines)


@app.command()
def label(
    table: Annotated[Path, typer.Argument(help="table of embeddings that `echopair apply` or a run wrote")],
    classifier: Annotated[
        Path,
        typer.Argument(help="classifier-CORPUS.safetensors in the folder of a run with the same encoder"),
    ],
    form: Annotated[
        LabelFormat, typer.Option("--as", help="a table, or tracks of labels for each recording")
    ] = LabelFormat.CSV,
    out: Annotated[
        Path | None,
        typer.Option(help="file, or folder of tracks; by default named after the table", show_default=False),
    ] = None,
    min_probability: Annotated[
        float, typer.Option(help="a less probable label is not given", min=0, max=1)
    ] = 0.5,
) -> None:
    """Labels and probabilities of each window of a table, by the classifier that a probe trained."""
    from echopair.pipeline.label import label as label_windows

    done = label_windows(table, classifier, form, out, min_probability)
    named = ", ".join(f"{name} {count:,}" for name, count in done.counts.most_common())
    _print(
        f"labels  {done.out}: {done.windows:,} windows",
        f"{named or 'no label'}; {done.unlabelled:,} without a label",
    )


@app.command()
def search(
    table: Annotated[Path, typer.Argument(help="table of embeddings that `echopair apply` or a run wrote")],
    query: Annotated[Path | None, typer.Argument(help="recording to search for", show_default=False)] = None,
    start: Annotated[
        float | None, typer.Option(help="seconds where the query begins in it", show_default=False)
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="seconds where the query ends", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(help="hits at most", min=1, max=200)] = 20,
    pairs: Annotated[
        int | None,
        typer.Option(
            help="in place of a query: number of pairs, the most similar ones of all",
            min=1,
            max=200,
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="the table's encoder, if it has moved since", show_default=False),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="the page to write; by default named after the query or the table", show_default=False
        ),
    ] = None,
    hits: Annotated[
        Path | None, typer.Option(help="a CSV file to write with the same rows", show_default=False)
    ] = None,
) -> None:
    """The parts of recordings that sound most like a query, or like each other: a table and a page to listen to."""
    from echopair.pipeline import search
    from echopair.pipeline.pages import check_page

    page = page or Path(f"{table.stem}.pairs.html" if query is None else f"{query.stem}.similar.html")
    check_page(page)
    if (query is None) == (pairs is None):
        raise UserError(
            "give a recording to search for, or --pairs=50 for the most similar pairs of the table"
        )
    if pairs is not None:
        similar = search.similar_pairs(table, pairs)
        rows = [(one.similarity, [one.one, one.other]) for one in similar]
        _print(*search.pair_lines(similar))
        search.write_pairs_page(similar, table, page)
    else:
        assert query is not None
        excerpt = search.query_excerpt(query, start, end)
        found = search.search_for(table, excerpt, top, encoder)
        rows = [(hit.similarity, [hit.excerpt]) for hit in found.hits]
        _print(*search.hit_lines(found))
        search.write_search_page(excerpt, found, table, page)
    if missing := search.missing_recordings([part for _, parts in rows for part in parts]):
        output.print(f"search: {missing}", style="yellow", soft_wrap=True, highlight=False, markup=False)
    _print(f"page  {page}")
    if hits is not None:
        search.write_hits(hits, rows)
        _print(f"hits  {hits}")


@app.command()
def explore(
    table: Annotated[Path, typer.Argument(help="table of embeddings that `echopair apply` or a run wrote")],
    port: Annotated[int, typer.Option(help="port on 127.0.0.1", min=1, max=65535)] = 5050,
) -> None:
    """A map of the embeddings to listen to and to label, on 127.0.0.1 until Ctrl-C."""
    from echopair.pipeline.explore.run import explore as serve_map

    serve_map(table, port, on_ready=_show_map)


def _show_map(address: str) -> None:
    _print(f"map  {address}   (Ctrl-C ends it)")
    if output.is_terminal:
        webbrowser.open(address)


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
        f"verified  relative difference to the encoder {done.difference:.1e} at most, on sounds of 0.3 to 60 s",
    ]
    _print(*lines)


@app.command()
def play(
    table: Annotated[
        Path | None,
        typer.Option(
            help="table of embeddings that `echopair apply` or a run wrote: adds its sounds",
            show_default=False,
        ),
    ] = None,
    page: Annotated[Path, typer.Option(help="the page to write")] = Path("play.html"),
) -> None:
    """A page to try contrastive losses on: drag points, see gradients, and which sounds repel a sound of yours."""
    from echopair.pipeline.play import write_play_page

    write_play_page(page, table)
    _print(f"page  {page}")


def _print(*lines: str) -> None:
    for line in lines:
        output.print(line, soft_wrap=True, highlight=False, markup=False)
