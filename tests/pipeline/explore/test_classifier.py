"""The classifier on a person's labels: `echopair label` takes it, and its accuracy is that on other recordings."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.trained_classifier import TrainedClassifier
from echopair.pipeline.explore.classifier import save_classifier
from echopair.pipeline.explore.labels import LabelError
from echopair.pipeline.explore.table import ExploredTable
from echopair.pipeline.label import label

Labels = list[tuple[str, ...]]


@pytest.fixture
def kinds(table: ExploredTable) -> Labels:
    """What each row is of."""
    return [(Path(one.path).name.split("_")[0],) for one in table.excerpts]


def test_it_labels_the_table_that_it_was_made_on(table: ExploredTable, kinds: Labels) -> None:
    some = [own if row % 3 else () for row, own in enumerate(kinds)]
    answer = save_classifier(table, some)
    file = table.file.with_name("table.classifier.safetensors")
    assert answer["command"] == f"echopair label {table.file} {file}"
    info = TrainedClassifier.load(file).info
    assert info.classes == ("beeps", "hiss", "hum")
    assert info.clips == sum(map(bool, some))
    assert info.clip_seconds == pytest.approx(0.96)
    labelled = label(table.file, file)
    assert [labelled.counts[name] for name in info.classes] == pytest.approx([len(table) / 3] * 3, abs=3)


def test_its_accuracy_is_of_recordings_that_it_did_not_learn_from(table: ExploredTable) -> None:
    # Each kind of sound has both labels: other windows of a recording tell its label, other recordings do not.
    recordings = sorted(table.recordings)
    labels = [(f"side {recordings.index(one.path) % 2}",) for one in table.excerpts]
    said = save_classifier(table, labels)["said"]
    found = re.search(r"accuracy on whole recordings .*: (\d+)% \(95 % interval (\d+)% to (\d+)%\)", said)
    assert found, said
    assert int(found[1]) < 70
    assert int(found[2]) < int(found[1]) < int(found[3])


def test_rows_with_several_labels_have_a_mean_average_precision(table: ExploredTable, kinds: Labels) -> None:
    labels = [(*own, "loud") if row % 2 else own for row, own in enumerate(kinds)]
    assert "mean average precision on whole recordings" in save_classifier(table, labels)["said"]
    assert TrainedClassifier.load(table.file.with_suffix(".classifier.safetensors")).info.multilabel


def test_folds_of_the_table_are_kept(table: ExploredTable, kinds: Labels) -> None:
    names = sorted(table.recordings, key=lambda path: path[-10:])  # by time: each fold has all kinds
    folds = [str(names.index(one.path) // 3) for one in table.excerpts]
    assert "3 official folds" in save_classifier(replace(table, folds=folds), kinds)["said"]


def test_too_few_recordings_give_a_classifier_without_accuracy(table: ExploredTable, kinds: Labels) -> None:
    labels: Labels = [()] * len(table)
    for kind in (("hum",), ("hiss",)):
        labels[kinds.index(kind)] = kind
    assert "accuracy is unknown" in save_classifier(table, labels)["said"]
    assert TrainedClassifier.load(table.file.with_suffix(".classifier.safetensors")).info.clips == 2


def test_a_label_in_one_recording_is_said(table: ExploredTable, kinds: Labels) -> None:
    first = table.recordings[0]
    rare = [("rare",) if one.path == first else own for one, own in zip(table.excerpts, kinds, strict=True)]
    assert "could not be tested on 'rare'" in save_classifier(table, rare)["said"]


def test_one_label_tells_nothing_apart(table: ExploredTable) -> None:
    with pytest.raises(LabelError, match="two different"):
        save_classifier(table, [("a",)] * len(table))


def test_a_file_of_something_else_stays(table: ExploredTable, kinds: Labels) -> None:
    file = table.file.with_suffix(".classifier.safetensors")
    file.write_text("mine")
    with pytest.raises(UserError, match="is no classifier"):
        save_classifier(table, kinds)
    assert file.read_text() == "mine"
