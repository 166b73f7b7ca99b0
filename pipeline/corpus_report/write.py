"""Writes the report of a prepared corpus: report.json for programs, report.html for people."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echopair.audio_files import AUDIO_EXTENSIONS, FFMPEG_FORMATS
from echopair.pipeline.corpora.recording import Refusal
from echopair.pipeline.corpus_report.statistics import (
    Json,
    LabelColumn,
    StringColumn,
    counted_values,
    distribution,
    nice_step,
    number_column,
    spread,
)
from echopair.pipeline.corpus_report.warnings import (
    SILENT_LUFS,
    class_warnings,
    duplicate_warnings,
    group_warnings,
    sound_warnings,
    spelling_warnings,
)
from echopair.pipeline.pages import render_page
from echopair.pipeline.stages import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"

LOWEST_PEAK_DBFS = -100.0  # one step of int16 is -90 dBFS; digital silence would be minus infinity
REFUSALS_ON_PAGE = 500
KINDS_ON_PAGE = 25
OTHER_REASONS = "other reasons"
CLASSES_ON_PAGE = 200


def write_report(
    folder: Path,
    corpus: str,
    manifest: "pa.Table",
    refused: Sequence[Refusal],
    *,
    sample_rate_hz: int = 16000,
    passed_over: Mapping[str, int] | None = None,
) -> Json:
    """Describe a prepared corpus in `report.json` (everything) and `report.html` (a page of bounded size).

    Args:
        folder: existing folder to write both files to.
        corpus: its name.
        manifest: of the clip store, one row per clip; no rows if everything was refused.
        refused: the refused recordings.
        sample_rate_hz: rate of the clips in the store; a warning names originals below it.
        passed_over: number of files that are no recordings, by extension.

    Returns:
        What report.json holds.
    """
    report = describe_corpus(corpus, manifest, refused, sample_rate_hz)
    report["passed_over"] = dict(Counter(passed_over).most_common())
    write_atomically(folder / REPORT_JSON, json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_atomically(folder / REPORT_HTML, _page(report))
    return report


def describe_corpus(
    corpus: str, manifest: "pa.Table", refused: Sequence[Refusal], sample_rate_hz: int
) -> Json:
    """The content of report.json; the keys are the same for every corpus. Args as in `write_report`."""
    clips = manifest.num_rows
    seconds = number_column(manifest, "seconds")
    loudness_lufs = np.maximum(number_column(manifest, "loudness_lufs"), SILENT_LUFS)
    peak_dbfs = np.maximum(number_column(manifest, "peak_dbfs"), LOWEST_PEAK_DBFS)
    rates_hz = number_column(manifest, "original_rate_hz")
    folds, splits, groups = (StringColumn(manifest[name]) for name in ("fold", "split", "group"))
    sounds = StringColumn(manifest["sound"]).codes
    labels = LabelColumn(manifest["labels"])
    classes = labels.class_rows(folds, splits)

    copies = np.bincount(sounds, minlength=1)
    sound_spreads = {
        "folds": spread(sounds, folds.codes),
        "splits": spread(sounds, splits.codes),
        "labels": spread(sounds, labels.set_codes),
    }
    group_spreads = {"folds": spread(groups.codes, folds.codes), "splits": spread(groups.codes, splits.codes)}
    kinds = [_kind_of(refusal) for refusal in refused]
    warnings = [
        *duplicate_warnings(manifest, sounds, sound_spreads),
        *group_warnings(manifest, groups.codes, group_spreads),
        *class_warnings(classes),
        *spelling_warnings(
            {
                "class": labels.names,
                "source": groups.names.to_pylist(),
                "fold": folds.names.to_pylist(),
            }
        ),
        *sound_warnings(manifest, seconds, loudness_lufs, sample_rate_hz),
    ]
    return {
        "corpus": corpus,
        "sample_rate_hz": sample_rate_hz,
        "clips": clips,
        "seconds": round(float(seconds.sum()), 3),
        "duration": duration(float(seconds.sum())),
        "refused": len(refused),
        "refused_share": len(refused) / max(1, clips + len(refused)),
        "warnings": sorted(warnings, key=lambda warning: warning["severity"] != "serious"),
        "classes": classes,
        "unlabelled_clips": int((labels.per_clip == 0).sum()),
        "multi_label_clips": int((labels.per_clip > 1).sum()),
        "folds": folds.counts(),
        "splits": splits.counts(),
        "groups": {"groups": len(groups.names)}
        | {f"across_{name}": len(codes) for name, codes in group_spreads.items()},
        "duplicates": {"sounds": int((copies > 1).sum()), "clips": int(copies[copies > 1].sum())}
        | {f"across_{name}": len(codes) for name, codes in sound_spreads.items()},
        "seconds_distribution": distribution(seconds, finest_step=0.1, long_tails=True),
        "loudness_lufs_distribution": distribution(loudness_lufs, finest_step=1.0),
        "peak_dbfs_distribution": distribution(peak_dbfs, finest_step=1.0),
        "original_rates": counted_values(rates_hz, "rate_hz"),
        "highest_hz": sample_rate_hz / 2,
        "above_highest_hz": int((rates_hz > sample_rate_hz).sum()),
        "original_channels": counted_values(number_column(manifest, "channels"), "channels"),
        "refusal_kinds": [{"kind": kind, "refused": n} for kind, n in Counter(kinds).most_common()],
        "refusals": [
            {"path": refusal.path, "reason": refusal.reason, "kind": kind}
            for refusal, kind in zip(refused, kinds, strict=True)
        ],
    }


def duration(seconds: float) -> str:
    """Seconds as text: "1 h 6 min 40 s", "6.5 s"."""
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours:,} h " if hours else "") + f"{minutes} min {rest} s"


def _kind_of(refusal: Refusal) -> str:
    """A reason without the details of one file: names, quoted words, numbers, the text after a colon."""
    reason = refusal.reason.replace(refusal.path, "")
    reason = re.sub(r"""'[^']*'|"[^"]*"|`[^`]*`""", "…", reason)
    reason = re.sub(r"(?<![A-Za-z_])[-+]?\d[\d.,_]*(?<![.,])", "…", reason)
    head = next((part.strip() for part in reason.split(": ") if part.strip(" …")), "")
    return head or "no reason given"


def _page(report: Json) -> str:
    return render_page(
        Path(__file__).parent / "page.html.jinja",
        filters={"ticks": _ticks, "labelled_edges": _labelled_edges},
        report=report,
        partition="folds" if report["folds"] else "splits",
        refusal_groups=_refusals_on_page(report),
        classes_on_page=CLASSES_ON_PAGE,
        extensions=[extension[1:] for extension in AUDIO_EXTENSIONS],
        ffmpeg_extensions=[extension[1:] for extension in FFMPEG_FORMATS],
    )


def _refusals_on_page(report: Json) -> list[Json]:
    """Refusals by kind, the most frequent first; frequent kinds are cut before rare ones."""
    named = {row["kind"] for row in report["refusal_kinds"][:KINDS_ON_PAGE]}
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for refusal in report["refusals"]:
        by_kind[refusal["kind"] if refusal["kind"] in named else OTHER_REASONS].append(refusal)
    groups = []
    lines_left = REFUSALS_ON_PAGE
    for done, (kind, refusals) in enumerate(sorted(by_kind.items(), key=lambda item: len(item[1]))):
        shown = refusals[: lines_left // (len(by_kind) - done)]
        lines_left -= len(shown)
        groups.append({"kind": kind, "refused": len(refusals), "shown": shown})
    return sorted(groups, key=lambda group: (group["kind"] == OTHER_REASONS, -group["refused"]))


def _ticks(top: int) -> list[int]:
    """Round numbers from 0 up to at least `top`, for an axis."""
    step = max(1, round(nice_step(max(1, top), 3)))
    return list(range(0, top + step, step))


def _labelled_edges(edges: list[float]) -> list[tuple[int, float]]:
    """Position and value of the edges of a histogram that get a label, at most about seven."""
    steps = np.diff(edges)
    if np.allclose(steps, steps[0]):
        apart = nice_step(edges[-1] - edges[0], 6)
        return [(n, edge) for n, edge in enumerate(edges) if abs(edge / apart - round(edge / apart)) < 1e-6]
    return list(enumerate(edges))[:: len(edges) // 7 + 1]
