"""Labels: kept beside the table, and exported as a corpus that the probe stage reads."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from echopair.pipeline.config import compose
from echopair.pipeline.corpora import Recording
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
        "path,start_seconds,end_seconds,label,label_from"
    )


def test_the_last_labellings_are_undone_in_turn(table: ExploredTable) -> None:
    labels = Labels(table)
    labels.give([0, 1], "dog")
    labels.give(range(len(table)), "cat")
    labels.give([1], "")
    assert labels.undo() == {1: "cat"}
    assert labels.undo() == {0: "dog", 1: "dog", **dict.fromkeys(range(2, len(table)), "")}
    assert Labels(table).given() == {0: "dog", 1: "dog"}
    labels.undo()
    with pytest.raises(LabelError, match="nothing was labelled"):
        labels.undo()
    assert Labels(table).given() == {}


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
    corpus = {**corpus_config(several, file), "where_not": {"label": ""}, "fold": "fold"}
    (recording,) = listed(corpus, file.parent)
    assert recording.labels == ("a", "b")
    assert recording.excerpt == (0, pytest.approx(0.96))
    assert recording.fold == "1"


@pytest.mark.parametrize("several", [False, True])
def test_the_corpus_of_a_table_with_labels_is_what_the_page_counts(
    table: ExploredTable, several: bool
) -> None:
    own: list[tuple[str, ...]] = [("a", "b") if several else ("a",)] * 20 + [()] * (len(table) - 20)
    folds = ["1", "2"] * (len(table) // 2)
    labelled = replace(table, labels=own, folds=folds)
    Labels(labelled).give([0, 30], "dog, far away")
    fewer = replace(
        labelled,
        excerpts=table.excerpts[1:],
        labels=own[1:],
        folds=folds[1:],
        directions=table.directions[1:],
    )
    for explored in (labelled, fewer):  # of the second one, the label of the first row is of no row
        labels = Labels(explored)
        found = sorted(
            (str(one.path), one.excerpt and round(one.excerpt[0], 3), one.labels, one.fold)
            for one in listed(labels.corpus(), table.file.parent)
        )
        rows = zip(explored.excerpts, labels.all(), explored.folds, strict=True)
        assert found == sorted(
            (one.path, round(one.start_seconds, 3), names, fold) for one, names, fold in rows if names
        )


def test_labels_of_the_table_are_not_taken_for_given_ones(table: ExploredTable) -> None:
    assert Labels(replace(table, labels=[("a",)] * len(table))).given() == {}
    corrected = Labels(replace(table, labels=[("b",)] * len(table)))
    assert set(corrected.all()) == {("b",)}
    assert ",b,table" in corrected.file.read_text()
    assert ",a,table" not in corrected.file.read_text()


def test_labels_of_an_earlier_version_are_read(table: ExploredTable) -> None:
    labels = Labels(table)
    labels.give([2], "dog")
    lines = labels.file.read_text().replace(",label_from", "").replace(",explore\n", "\n")
    labels.file.write_text(lines)
    assert Labels(table).given() == {2: "dog"}


def listed(corpus: dict[str, object], folder: Path) -> list[Recording]:
    """The recordings of a corpus."""
    file = folder / "corpus.yaml"
    file.write_text(yaml.safe_dump({"corpora": {"labelled": corpus}}))
    config = compose(str(file)).corpora["labelled"]
    return list(find_table_recordings("labelled", config))
