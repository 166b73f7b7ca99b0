import csv
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.evaluation.probe_files import CONFUSION_FILE, PER_CLASS_FILE, write_probe_files


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("dog", "dog"),
        ('=HYPERLINK("x")', '\'=HYPERLINK("x")'),
        ("+1+1", "'+1+1"),
        (" @SUM(1)", "' @SUM(1)"),
        ("-", "'-"),
        ("\t=1", "\\t=1"),
        ("\x1b[31mred\r\n", "\\x1b[31mred\\r\n"),
        ("-0.5", "-0.5"),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_texts_are_shown_and_never_run(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_names_of_classes_in_the_files_of_a_probe(tmp_path: Path) -> None:
    classes = ["=1+1", "\x1b[31m"]
    result = {"score": 1.0, "interval": None}
    summary = {"classes": classes, "corpus": "c", "metric": "accuracy", "features": {"pretrained": result}}
    targets = np.eye(2, dtype=np.int8)
    write_probe_files(tmp_path, summary, "pretrained", np.eye(2)[::-1], targets, multilabel=False)
    shown = {"'=1+1", "\\x1b[31m"}
    for file in (CONFUSION_FILE, PER_CLASS_FILE):
        rows = list(csv.reader((tmp_path / file).read_text().splitlines()))
        assert {row[0] for row in rows[1:]} == shown
