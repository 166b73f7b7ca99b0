"""`label`: probabilities of windows, as tables and as tracks."""

import csv
from pathlib import Path

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest

from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.trained_classifier import ClassifierInfo, TrainedClassifier
from echopair.pipeline.label import label
from echopair.pipeline.label_tracks import LabelFormat

# Of each window: recording, begin, and the logits of "owl" and "frog, tree" against silence.
WINDOWS = [
    ("day/a.wav", 0.0, 4.0, 0.0),
    ("day/a.wav", 0.5, 5.0, 0.0),
    ("day/a.wav", 1.0, 0.0, 0.0),
    ("day/a.wav", 2.0, 3.0, 0.0),
    ("night/a.wav", 0.0, 0.0, 6.0),
    ("night/b.wav", 0.0, 0.0, 0.0),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    info = TableInfo(
        encoder_sha256="abc",
        encoder={"log_mel": {"min_hz": 60, "max_hz": 7800}},
        encoder_folder="",
        window_seconds=1,
        hop_seconds=1,
        key="",
    )
    sources = [Recording(tmp_path / path, path) for path, *_ in WINDOWS]
    starts = np.array([start for _, start, *_ in WINDOWS])
    embeddings = np.float32([[0, owl, frog] for _, _, owl, frog in WINDOWS])
    rows = make_rows(table_schema(3, info), sources, starts, starts + 1, embeddings)
    pq.write_table(rows, tmp_path / "windows.parquet")
    return tmp_path / "windows.parquet"


def classifier(
    folder: Path, multilabel: bool = False, encoder: str = "abc", clip_seconds: float = 1.5
) -> Path:
    info = ClassifierInfo(
        corpus="birds",
        classes=("=silence", "owl", "frog, tree"),
        multilabel=multilabel,
        C=1,
        clips=9,
        encoder_sha256=encoder,
        clip_seconds=clip_seconds,
    )
    TrainedClassifier(info, np.eye(3), np.full(3, -2.0 if multilabel else 0.0)).save(folder / "c.safetensors")
    return folder / "c.safetensors"


def probability_of_owl(logit: float) -> float:
    return float(np.exp(logit) / (np.exp(logit) + 2))


def test_csv_has_a_row_for_each_window_and_a_column_for_each_class(table: Path) -> None:
    done = label(table, classifier(table.parent))
    assert done.out == table.parent / "windows.predictions.csv"
    assert (done.windows, done.counts, done.unlabelled) == (6, {"owl": 3, "frog, tree": 1}, 2)
    with done.out.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["predicted"] for row in rows] == ["owl", "owl", "", "owl", "frog, tree", ""]
    assert [row["start_seconds"] for row in rows] == ["0.000", "0.500", "1.000", "2.000", "0.000", "0.000"]
    assert float(rows[1]["probability_owl"]) == pytest.approx(probability_of_owl(5), abs=1e-4)
    assert float(rows[2]["probability_=silence"]) == pytest.approx(1 / 3, abs=1e-4)
    assert rows[1]["highest_probability"] == rows[1]["probability_owl"]
    with pytest.raises(
        UserError, match=r"windows\.predictions\.csv exists; delete it, or name another by --out"
    ):
        label(table, classifier(table.parent))


def test_parquet_has_a_struct_of_probabilities(table: Path) -> None:
    done = label(table, classifier(table.parent), LabelFormat.PARQUET, table.parent / "x.parquet")
    read = polars.read_parquet(done.out)
    assert read["predicted"].to_list()[3:5] == [["owl"], ["frog, tree"]]
    owl = read["probabilities"].struct.field("owl").to_list()
    assert owl[:2] == pytest.approx([probability_of_owl(4), probability_of_owl(5)], abs=1e-5)


@pytest.mark.parametrize("form", [LabelFormat.CSV, LabelFormat.PARQUET])
def test_labels_and_folds_of_the_table_stay_beside_the_predictions(tmp_path: Path, form: LabelFormat) -> None:
    info = TableInfo(
        encoder_sha256="abc",
        encoder={},
        encoder_folder="",
        window_seconds=1,
        hop_seconds=1,
        key="",
    )
    sources = [
        Recording(tmp_path / "a.wav", "a.wav", ("frog, tree", "wind"), fold="2"),
        Recording(tmp_path / "b.wav", "b.wav"),
    ]
    rows = make_rows(
        table_schema(3, info, annotated=True), sources, np.zeros(2), np.ones(2), np.float32([[0, 9, 0]] * 2)
    )
    pq.write_table(rows, tmp_path / "t.parquet")
    done = label(tmp_path / "t.parquet", classifier(tmp_path), form)
    read = polars.read_csv(done.out) if form == LabelFormat.CSV else polars.read_parquet(done.out)
    wanted = {"labels": ["frog, tree,wind", None], "fold": [2, None], "predicted": ["owl", "owl"]}
    if form == LabelFormat.PARQUET:
        wanted = {"labels": [["frog, tree", "wind"], []], "fold": ["2", None], "predicted": [["owl"]] * 2}
    assert read.select("labels", "fold", "predicted").to_dict(as_series=False) == wanted


def test_several_labels_each_have_a_threshold(table: Path) -> None:
    done = label(table, classifier(table.parent, multilabel=True), min_probability=0.1)
    assert done.counts == {"=silence": 6, "owl": 6, "frog, tree": 6}  # all above 1 / (1 + e^2) = 0.12
    done = label(
        table, classifier(table.parent, multilabel=True), out=table.parent / "x.csv", min_probability=0.8
    )
    assert done.counts == {"owl": 2, "frog, tree": 1}


def test_raven_tracks_join_the_windows_of_one_sound(table: Path) -> None:
    done = label(table, classifier(table.parent), LabelFormat.RAVEN)
    assert done.out == table.parent / "windows.raven"
    files = sorted(str(file.relative_to(done.out)) for file in done.out.rglob("*.txt"))
    assert files == ["day/a.wav.selections.txt", "night/a.wav.selections.txt", "night/b.wav.selections.txt"]
    with (done.out / files[0]).open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [(row["Begin Time (s)"], row["End Time (s)"], row["Annotation"]) for row in rows] == [
        ("0.000", "1.500", "owl"),
        ("2.000", "3.000", "owl"),
    ]
    assert float(rows[0]["Probability"]) == pytest.approx(probability_of_owl(5), abs=1e-3)
    assert (rows[0]["Low Freq (Hz)"], rows[0]["High Freq (Hz)"]) == ("60", "7800")
    assert len((done.out / files[2]).read_text().splitlines()) == 1  # the header alone


def test_audacity_tracks_have_start_end_and_label(table: Path) -> None:
    done = label(table, classifier(table.parent), LabelFormat.AUDACITY)
    track = (done.out / "night" / "a.wav.txt").read_text(encoding="utf-8")
    assert track.splitlines() == ["0.000000\t1.000000\tfrog, tree 1.00"]


def test_a_classifier_of_another_encoder_is_refused(table: Path) -> None:
    with pytest.raises(UserError, match=r"c\.safetensors was trained on embeddings of another encoder"):
        label(table, classifier(table.parent, encoder="def"))
    with pytest.raises(UserError, match=r"gone\.parquet: there is no such file"):
        label(table.parent / "gone.parquet", classifier(table.parent))


def test_windows_of_another_length_than_the_clips_are_noted(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(table, classifier(table.parent))
    assert capsys.readouterr().err == ""
    label(table, classifier(table.parent, clip_seconds=5), out=table.parent / "x.csv")
    said = " ".join(capsys.readouterr().err.split())
    assert "the windows are 1 s long, and the classifier learned from clips of 5 s" in said
