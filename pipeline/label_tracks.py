"""Tracks of labels: one text file for each recording, as Raven and Audacity open them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from echopair.pipeline.pages import printable

RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
    "Probability",
)


class LabelFormat(StrEnum):
    """What is written: a table with a row for each window, or a folder with a track for each recording."""

    CSV = "csv"
    PARQUET = "parquet"
    RAVEN = "raven"
    AUDACITY = "audacity"


@dataclass
class Span:
    """A part of a recording with one label.

    Args:
        label: its name.
        start_seconds, end_seconds: in the recording.
        probability: the highest of its windows.
    """

    label: str
    start_seconds: float
    end_seconds: float
    probability: float


def spans(windows: Iterable[Span]) -> list[Span]:
    """Labelled windows of one recording, those of one label that overlap or touch joined; ordered by start."""
    joined: list[Span] = []
    last: dict[str, Span] = {}
    for window in sorted(windows, key=lambda one: one.start_seconds):
        before = last.get(window.label)
        if before is not None and window.start_seconds <= before.end_seconds:
            before.end_seconds = max(before.end_seconds, window.end_seconds)
            before.probability = max(before.probability, window.probability)
        else:
            last[window.label] = window
            joined.append(window)
    return joined


def write_raven(file: Path, labelled: Sequence[Span], low_hz: float, high_hz: float) -> None:
    """A selection table of Raven, which opens it beside the recording (File, Open Selection Table).

    Args:
        file: to write.
        labelled: of one recording.
        low_hz, high_hz: lower and upper edge of the selections: what the encoder hears.
    """
    rows = [
        [
            number,
            "Spectrogram 1",
            1,
            f"{one.start_seconds:.3f}",
            f"{one.end_seconds:.3f}",
            f"{low_hz:g}",
            f"{high_hz:g}",
            _in_one_cell(one.label),
            f"{one.probability:.3f}",
        ]
        for number, one in enumerate(labelled, start=1)
    ]
    _write(file, [list(RAVEN_COLUMNS), *rows])


def write_audacity(file: Path, labelled: Sequence[Span]) -> None:
    """A label track of Audacity (File, Import, Labels)."""
    rows = [
        [
            f"{one.start_seconds:.6f}",
            f"{one.end_seconds:.6f}",
            f"{_in_one_cell(one.label)} {one.probability:.2f}",
        ]
        for one in labelled
    ]
    _write(file, rows)


def track_paths(recordings: Sequence[str], extension: str) -> dict[str, Path]:
    """A relative path for the track of each recording: the recordings' own, below the folder that they share."""
    absolute = {recording: Path(recording).absolute() for recording in recordings}
    shared = os.path.commonpath([path.parent for path in absolute.values()])
    return {
        recording: path.relative_to(shared).with_name(path.name + extension)
        for recording, path in absolute.items()
    }


def _in_one_cell(label: str) -> str:
    return printable(label)  # tabs and line ends are spelled out


def _write(file: Path, rows: Iterable[Sequence[object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows(rows)
