from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline.corpora import Recording
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig
from echopair.pipeline.errors import UserError

RAVEN = {"begin": "Begin Time (s)", "end": "End Time (s)"}


def find(folder: Path, **config: Any) -> list[Recording]:
    return find_table_recordings("c", TableCorpusConfig(root=folder, **config))


def test_a_selection_table_of_raven(tmp_path: Path) -> None:
    (tmp_path / "b.wav").touch()
    (tmp_path / "a.wav").touch()
    # Its times count from the first of all open files; the offset counts from the begin of the file.
    (tmp_path / "s.txt").write_text(
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tFile Offset (s)\tBegin File\tSpecies\n"
        "1\tWaveform 1\t0.5\t2\t0.5\ta.wav\towl\n"
        "1\tSpectrogram 1\t0.5\t2\t0.5\ta.wav\towl\n"
        "2\tSpectrogram 1\t61.25\t62\t1.25\tb.wav\tjay\n"
    )
    first, second = find(tmp_path, table="s.txt", path="{Begin File}", label="Species", **RAVEN)
    assert (first.name, first.labels, first.excerpt) == ("a.wav (0.5 to 2 s)", ("owl",), (0.5, 2.0))
    assert (second.path, second.excerpt, second.group) == (tmp_path / "b.wav", (1.25, 2.0), "b.wav")


def test_the_label_tracks_of_audacity_one_for_each_recording(tmp_path: Path) -> None:
    for name in ("site/a", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.flac").touch()
        (tmp_path / f"{name}.txt").write_text(
            f'0.500000\t1.5\towl "{name}"\n\\\t1000.0\t2000.0\n2.0\t3.0\t\n'
        )
    found = find(
        tmp_path,
        table="*.txt",
        columns=("begin", "end", "label"),
        path="{*}.flac",
        begin="begin",
        end="end",
        label="label",
    )
    assert [(one.name, one.labels, one.group) for one in found] == [
        ("b.flac (0.5 to 1.5 s)", ('owl "b"',), "b.flac"),
        ("b.flac (2 to 3 s)", (), "b.flac"),
        ("site/a.flac (0.5 to 1.5 s)", ('owl "site/a"',), "site/a.flac"),
        ("site/a.flac (2 to 3 s)", (), "site/a.flac"),
    ]


def test_the_results_of_birdnet_with_several_species_in_a_window(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    text = (
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
        f"0.0,3.0,Strix aluco,Tawny Owl,0.9,{tmp_path}/a.wav\n"
        f"0.0,3.0,Asio otus,Long-eared Owl,0.5,{tmp_path}/a.wav\n"
    )
    (tmp_path / "r.csv").write_text(text)
    birdnet = {"table": "r.csv", "path": "{File}", "begin": "Start (s)", "end": "End (s)"}
    (found,) = find(tmp_path, labels="Common name", label_separator=";", **birdnet)
    assert found.labels == ("Long-eared Owl", "Tawny Owl")
    with pytest.raises(
        UserError, match=r"two labels, Tawny Owl and Long-eared Owl: .*line 2, and .*line 3; .*labels="
    ):
        find(tmp_path, label="Common name", **birdnet)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,1,x", r"begin: .*line 2: 'x' in column 'end' is not a number of seconds"),
        ("a.wav,1,", r"line 2: '' in column 'end' is not a number"),
        ("a.wav,-1,2", r"line 2: '-1' in column 'begin' is not a number"),
        ("a.wav,nan,2", r"line 2: 'nan' in"),
        ("a.wav,1,1e999", r"line 2: '1e999' in"),
        ('a.wav,"1,5",2', r"line 2: '1,5' in"),
        ("a.wav,3,2", r"line 2: the event ends at 2 s, before it begins at 3 s"),
    ],
)
def test_seconds_that_are_none(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "labels.csv").write_text(f"path,begin,end\n{row}\n")
    with pytest.raises(UserError, match=message):
        find(tmp_path, begin="begin", end="end")


def test_a_comma_separates_decimals_where_it_separates_no_cells(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "labels.csv").write_text("path;begin;end\na.wav;0,25;1,5\n")
    assert find(tmp_path, begin="begin", end="end")[0].excerpt == (0.25, 1.5)
