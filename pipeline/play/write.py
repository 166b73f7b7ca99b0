"""Writes the page of `echopair play`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.pipeline.pages import check_page, printable, render_page
from echopair.pipeline.play.sample import sample_table
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import write_atomically

if TYPE_CHECKING:
    from echopair.pipeline.play.sample import Sample

FOLDER = Path(__file__).parent
SCRIPTS = ("losses.js", "plane.js", "presets.js", "points.js", "tabs.js")
OBJECTIVES = (
    "nt_xent",
    "decoupled",
    "supervised_contrastive",
    "moco",
    "contrastive_pairs",
    "triplet",
    "vicreg",
)


def write_play_page(page: Path, table: Path | None = None) -> None:
    """Write the page: one HTML file that loads nothing from elsewhere.

    Args:
        page: file to write.
        table: of embeddings, whose sounds the second tab shows; None for a page without.

    Raises:
        UserError: no place for the page, no such table, or one with too few rows.
    """
    check_page(page)
    sample = None if table is None else sample_table(table)
    scripts = SCRIPTS if sample is None else (*SCRIPTS, "neighbours.js")
    text = render_page(
        FOLDER / "page.html.jinja",
        script="\n".join((FOLDER / name).read_text(encoding="utf-8") for name in scripts),
        objectives=OBJECTIVES,
        sample=sample and _as_shown(sample),
        table=table and table.name,
        rows_in_table=sample and sample.rows_in_table,
    )
    write_atomically(page, text)


def _as_shown(sample: Sample) -> dict[str, Any]:
    """What the script of the page reads of a sample."""
    from echopair.models.audio_encoder import AudioEncoderConfig
    from echopair.models.log_mel import LogMel
    from echopair.pipeline.play.sounds import show
    from echopair.pipeline.search.write import clock

    log_mel = LogMel(AudioEncoderConfig.model_validate(sample.info.encoder).log_mel)
    sounds = []
    with progress_bar("play", len(sample.excerpts), "sounds") as advance:
        for excerpt, labels in zip(sample.excerpts, sample.labels, strict=True):
            time = f"{clock(excerpt.start_seconds)} to {clock(excerpt.end_seconds)}"
            sounds.append(
                {
                    "name": printable(Path(excerpt.path).name),
                    "time": time,
                    "labels": [printable(label) for label in labels],
                    **show(excerpt, log_mel)._asdict(),
                }
            )
            advance()
    frequent = Counter(label for labels in sample.labels for label in labels).most_common()
    return {
        "sounds": sounds,
        "labels": sorted(printable(label) for label, _ in frequent),
        "similarities": [
            [round(float(one), 4) for one in row[:number]] for number, row in enumerate(sample.similarities)
        ],
        "layout": [[round(float(one), 4) for one in place] for place in sample.layout],
    }
