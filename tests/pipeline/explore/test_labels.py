"""Labels: kept beside the table, and exported as a corpus that the probe stage reads."""

from pathlib import Path

import pytest
import yaml

from echopair.pipeline.config import compose
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.labels import LabelError, Labels, corpus_config
from echopair.pipeline.explore.table import ExploredTable


def test_labels_are_there_again(table: ExploredTable) -> None:
    Labels(table).give([3, 4], "dog, far away")
    Labels(table).give([4], "")
    Labels(table).give([5], " cat ")
    assert Labels(table).given() == {3: "dog, far away", 5: "cat"}
    assert Labels(table).all()[3] == ("dog, far away",)
    assert table.file.with_suffix(".labels.csv").read_text().splitlines()[0] == (
        "path,start_seconds,end_seconds,label"
    )


def test_two_windows_of_the_browser_do_not_undo_each_other(table: ExploredTable) -> None:
    one, other = Labels(table), Labels(table)
    one.give([0], "a")
    other.give([1], "b")
    assert Labels(table).given() == {0: "a", 1: "b"}


def test_labels_of_other_windows_stay_in_the_file(table: ExploredTable) -> None:
    Labels(table).give([0, 1], "a")
    fewer = ExploredTable(
        table.file, table.info, table.excerpts[1:], table.labels[1:], [], table.directions[1:]
    )
    labels = Labels(fewer)
    assert labels.of_other_rows == 1
    labels.give([3], "b")
    assert Labels(table).given() == {0: "a", 1: "a", 4: "b"}


@pytest.mark.parametrize("label", ["=SUM(A1)", "-1", "a\nb", "x" * 201])
def test_labels_that_a_spreadsheet_would_change_are_refused(table: ExploredTable, label: str) -> None:
    with pytest.raises(LabelError, match="a label"):
        Labels(table).give([0], label)
    assert not Labels(table).file.exists()


@pytest.mark.parametrize("content", ["name,colour\na,red\n", "", "path,start_seconds,end_seconds,label\na\n"])
def test_a_file_of_something_else_is_left_alone(table: ExploredTable, content: str) -> None:
    file = table.file.with_suffix(".labels.csv")
    file.write_text(content)
    with pytest.raises(UserError, match=r"table.labels.csv has no labels of `echopair explore`"):
        Labels(table)
    assert file.read_text() == content


def test_a_row_with_several_labels_is_exported_as_one_excerpt(table: ExploredTable) -> None:
    labels = [("a", "b"), *table.labels[1:]]
    folds = ["1"] * len(table)
    several = ExploredTable(table.file, table.info, table.excerpts, labels, folds, table.directions)
    file = table.file.with_name("selection.csv")
    file.write_text(Labels(several).csv_of([0, 1]))
    assert file.read_text().splitlines()[0] == "path,start_seconds,end_seconds,label,fold"
    corpus = {**corpus_config(table.recordings, file), "where_not": {"label": ""}, "fold": "fold"}
    config = compose(overrides_file(file.parent, corpus))
    (recording,) = find_table_recordings("labelled", config.corpora["labelled"])
    assert recording.labels == ("a", "b")
    assert recording.excerpt == (0, pytest.approx(0.96))
    assert recording.fold == "1"


def overrides_file(folder: Path, corpus: dict[str, object]) -> str:
    """A config with one corpus."""
    file = folder / "corpus.yaml"
    file.write_text(yaml.safe_dump({"corpora": {"labelled": corpus}}))
    return str(file)
