"""What a linear probe leaves to look at: the table of the classes, the confusion matrix and two figures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import np
from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.evaluation.bootstrap import average_precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_CLASS_FILE = "per_class.csv"
CONFUSION_FILE = "confusion_matrix.csv"


def write_probe_files(
    folder: Path,
    summary: dict[str, Any],
    main: str,
    scores: NDArray[np.float64],
    targets: NDArray[np.int8],
    multilabel: bool,
) -> None:
    """Write the table of the classes, the confusion matrix and the two figures of a probe.

    Args:
        folder: existing folder.
        summary: of the probe.
        main: the features whose classes are shown.
        scores: (tested clips, classes) of these features.
        targets: (tested clips, classes) of 0 and 1.
        multilabel: whether a clip may have several labels.
    """
    from echopair.pipeline.figures import accuracy_bars_figure, confusion_matrix_figure

    classes: list[str] = summary["classes"]
    predicted, true = scores.argmax(1), targets.argmax(1)
    if multilabel:
        header = ["class", "clips", "average_precision"]
        precision = average_precision(scores, targets)
        rows = [[name, int(targets[:, n].sum()), float(precision[n])] for n, name in enumerate(classes)]
    else:
        header = ["class", "clips", "recall", "precision", "most_often_taken_for"]
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(confusion, (true, predicted), 1)
        rows = [_class_row(confusion, n, classes) for n in range(len(classes))]
        with (folder / CONFUSION_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["true \\ predicted", *map(csv_cell, classes)])
            writer.writerows([csv_cell(name), *confusion[n].tolist()] for n, name in enumerate(classes))
        title = f"{summary['corpus']}: {main}, {summary['features'][main]['score']:.1%} of {len(true)} clips"
        confusion_matrix_figure(confusion, classes, folder / "confusion_matrix.png", title)
    with (folder / PER_CLASS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            [f"{cell:.4f}" if isinstance(cell, float) else csv_cell(cell) for cell in row] for row in rows
        )
    results = summary["features"]
    accuracy_bars_figure(
        list(results),
        [result["score"] for result in results.values()],
        [result["interval"] for result in results.values()],
        folder / "accuracy.png",
        title=f"{summary['corpus']}: linear probe",
        unit=str(summary["metric"]).replace("_", " "),
    )


def _class_row(confusion: NDArray[np.int64], n: int, classes: Sequence[str]) -> list[object]:
    mistakes = confusion[n].copy()
    mistakes[n] = 0
    clips, taken = int(confusion[n].sum()), int(confusion[:, n].sum())
    return [
        classes[n],
        clips,
        float(confusion[n, n] / clips) if clips else float("nan"),
        float(confusion[n, n] / taken) if taken else float("nan"),
        classes[int(mistakes.argmax())] if mistakes.any() else "",
    ]
