"""`apply`: windows of recordings as a table, whatever happens on the way."""

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from echopair import AudioEncoder
from echopair.pipeline import apply as module
from echopair.pipeline.apply import Applied, apply
from echopair.pipeline.embedding_table import read_info
from echopair.pipeline.errors import UserError
from tests.pipeline.conftest import audio_encoder
from tests.processes import Started, start

RATE = 22050
SECONDS = (0.5, 2.0, 7.3)


def write_recordings(folder: Path, seconds: Sequence[float] = SECONDS) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number, length in enumerate(seconds):
        time_s = np.arange(round(length * RATE)) / RATE
        sound = 0.3 * np.sin(2 * np.pi * (300 + 200 * number) * time_s * (1 + 0.1 * time_s))
        sound += 0.02 * generator.normal(size=len(time_s))
        soundfile.write(folder / f"{number}.wav", sound, RATE, subtype="PCM_24")
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("apply") / "recordings")


@pytest.fixture(scope="module")
def applied(encoder: Path, recordings: Path) -> Applied:
    return apply(
        encoder, [recordings], recordings.parent / "windows.parquet", window_seconds=3, hop_seconds=1
    )


def test_each_row_is_what_the_encoder_gives_for_that_part(
    applied: Applied, encoder: Path, recordings: Path
) -> None:
    rows = pq.read_table(applied.file).to_pylist()
    expected = [
        (0, 0.0, 0.5),
        (1, 0.0, 2.0),
        *((2, float(start), start + 3.0) for start in range(5)),
        (2, 4.3, 7.3),
    ]
    found = [(row["path"], row["start_seconds"], row["end_seconds"]) for row in rows]
    assert found == [
        (str(recordings / f"{number}.wav"), start, pytest.approx(end, abs=1e-4))
        for number, start, end in expected
    ]
    loaded = AudioEncoder.load(encoder, precision="float32")
    for row in rows:
        waveform, rate = soundfile.read(row["path"], dtype="float32")
        part = waveform[round(row["start_seconds"] * rate) : round(row["end_seconds"] * rate)]
        embedding = loaded.embed(part, sample_rate_hz=rate)
        assert (torch.tensor(row["embedding"]) - embedding).norm() < 0.02 * embedding.norm()
    assert applied.seconds_of_audio == pytest.approx(sum(SECONDS), abs=1e-3)


def test_pandas_polars_and_duckdb_read_the_same(applied: Applied) -> None:
    expected = np.stack(pq.read_table(applied.file)["embedding"].to_numpy())
    assert expected.dtype == np.float32
    assert expected.shape == (8, audio_encoder().embedding_dim)
    np.testing.assert_array_equal(np.stack(pandas.read_parquet(applied.file)["embedding"].tolist()), expected)
    np.testing.assert_array_equal(polars.read_parquet(applied.file)["embedding"].to_numpy(), expected)
    rows = duckdb.sql(f"select embedding from '{applied.file}'").fetchall()
    np.testing.assert_array_equal(np.array([row[0] for row in rows], dtype=np.float32), expected)


def test_the_metadata_names_the_encoder_and_the_windows(applied: Applied, encoder: Path) -> None:
    info = read_info(applied.file)
    assert (info.window_seconds, info.hop_seconds) == (3, 1)
    assert info.encoder == json.loads((encoder / "encoder.json").read_text())
    assert len(info.encoder_sha256) == 64


def test_whole_recordings_have_a_row_each_and_one_that_is_given_twice_has_one(
    encoder: Path, recordings: Path, tmp_path: Path
) -> None:
    sources = [recordings / "2.wav", recordings]
    done = apply(encoder, sources, tmp_path / "whole.parquet", whole=True)
    rows = pq.read_table(done.file).to_pylist()
    assert [Path(row["path"]).name for row in rows] == ["2.wav", "0.wav", "1.wav"]
    embedding = AudioEncoder.load(encoder, precision="float32").embed(recordings / "2.wav")
    assert (torch.tensor(rows[0]["embedding"]) - embedding).norm() < 0.02 * embedding.norm()
    assert read_info(done.file).window_seconds is None


def test_windows_are_crops_by_default_that_overlap_by_half(
    encoder: Path, recordings: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(apply(encoder, [recordings / "1.wav"], tmp_path / "a.parquet").file)
    assert rows["start_seconds"].to_pylist() == pytest.approx([0, 0.48, 0.96, 1.04])
    assert rows["end_seconds"].to_pylist() == pytest.approx([0.96, 1.44, 1.92, 2.0])


def test_what_cannot_be_embedded_is_listed_with_the_reason(
    encoder: Path, recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "gone.wav").symlink_to("/nowhere.wav")
    done = apply(
        encoder, [tmp_path / "bad.wav", tmp_path / "links", recordings], tmp_path / "a.parquet", whole=True
    )
    assert (done.rows, done.refused) == (3, 2)
    assert done.refusals == tmp_path / "a.refused.csv"
    with done.refusals.open() as lines:
        row, link = csv.DictReader(lines)
    assert link["path"] == str(tmp_path / "links" / "gone.wav")
    assert row["path"] == str(tmp_path / "bad.wav")
    assert "not audio" in row["reason"]
    with pytest.raises(UserError, match=r"none of 1 recordings can be embedded \(.*bad.wav: not audio"):
        apply(encoder, [tmp_path / "bad.wav"], tmp_path / "b.parquet")
    assert {one.name for one in tmp_path.iterdir()} == {"bad.wav", "links", "a.parquet", "a.refused.csv"}


def test_a_table_that_exists_is_kept(applied: Applied, encoder: Path, recordings: Path) -> None:
    before = applied.file.read_bytes()
    again = apply(encoder, [recordings], applied.file, window_seconds=3, hop_seconds=1)
    assert (again.rows, again.seconds_of_audio) == (applied.rows, 0)
    with pytest.raises(UserError, match="exists, and is of other windows; delete it"):
        apply(encoder, [recordings], applied.file, window_seconds=2)
    (one, *_) = recordings.iterdir()
    with pytest.raises(
        UserError, match="exists, and is of other recordings, or recordings that have changed"
    ):
        apply(encoder, [one], applied.file, window_seconds=3, hop_seconds=1)
    assert applied.file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_seconds": 0.5}, "--window=0.5: the encoder takes crops of 0.96 s"),
        ({"window_seconds": float("nan")}, "--window=nan: "),
        ({"hop_seconds": 0.0}, "--hop=0: give the seconds"),
        ({"whole": True, "hop_seconds": 1.0}, "--whole gives a row for each recording"),
        ({"sources": [Path("/nowhere.wav")]}, "/nowhere.wav: there is no such file or folder"),
        ({"encoder_source": Path("/nowhere")}, "/nowhere is no encoder folder"),
        ({"out": "encoder.json"}, "the table is in Parquet format; name it .*encoder.parquet"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_decoded(
    arguments: dict[str, Any], message: str, encoder: Path, recordings: Path, tmp_path: Path
) -> None:
    if "out" in arguments:
        arguments = {"out": encoder / arguments["out"]}
    given = {"encoder_source": encoder, "sources": [recordings], "out": tmp_path / "a.parquet", **arguments}
    with pytest.raises(UserError, match=message):
        apply(**given)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_audio_and_a_table_of_something_else_are_named(
    encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}: no audio below this folder"):
        apply(encoder, [tmp_path], tmp_path / "a.parquet")
    pandas.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other\.parquet has no embeddings of echopair"):
        read_info(tmp_path / "other.parquet")


def apply_one_by_one(encoder: Path, recordings: Path, out: Path) -> None:
    """In a process that is killed: a part for each recording."""
    module.GROUP_RECORDINGS = 1
    torch.set_num_threads(1)
    apply(encoder, [recordings], out)


def kill_after_parts(process: Started, out: Path, parts: int) -> None:
    folder = out.with_name(out.name + ".partial")
    while len(list(folder.glob("part-*.parquet"))) < parts:
        assert not process.ended, process.said
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_a_killed_process_is_continued_and_comes_to_the_same_rows(encoder: Path, tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "many", [3.0] * 4)
    (folder / "bad.wav").write_text("no sound")
    out = tmp_path / "killed.parquet"
    first = tmp_path / "killed.parquet.partial" / "part-000000.parquet"
    written = []
    for parts in (1, 2):
        kill_after_parts(start(tmp_path / "said", apply_one_by_one, encoder, folder, out), out, parts)
        assert not out.exists()
        written.append(first.stat().st_mtime_ns)
    assert written[0] == written[1]  # it was not made again
    last = start(tmp_path / "said", apply_one_by_one, encoder, folder, out)
    assert last.wait() == 0, last.said
    undisturbed = start(
        tmp_path / "said", apply_one_by_one, encoder, folder, tmp_path / "undisturbed.parquet"
    )
    assert undisturbed.wait() == 0, undisturbed.said
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "undisturbed.parquet"))
    assert (tmp_path / "killed.refused.csv").read_text() == (tmp_path / "undisturbed.refused.csv").read_text()
    assert not out.with_name(out.name + ".partial").exists()


def test_the_same_command_twice_at_once_makes_one_table(
    encoder: Path, recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.parquet"
    both = [start(tmp_path / "said", apply_one_by_one, encoder, recordings, out) for _ in range(2)]
    for one in both:
        assert one.wait() == 0, one.said
    assert pq.read_metadata(out).num_rows > 10
    assert {one.name for one in tmp_path.iterdir()} == {"a.parquet", "said"}


def test_parts_of_other_windows_are_not_continued(encoder: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    partial = tmp_path / "a.parquet.partial"
    partial.mkdir()
    (partial / "plan.json").write_text('{"key": "another"}')
    with pytest.raises(UserError, match=f"^{partial} has parts for another encoder"):
        apply(encoder, [recordings], out)


def test_a_config_gives_labels_folds_and_events(encoder: Path, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "path,label,from,to,fold\n2.wav,frog,1,1.5,a\n2.wav,owl,4,7,b\n1.wav,frog,0,2,b\n"
    )
    (tmp_path / "night.yaml").write_text(
        f"corpora: {{night: {{name: table, root: {recordings}, table: {tmp_path / 'events.csv'}, label: label, "
        "begin: from, end: to, fold: fold}}\n"
    )
    done = apply(
        encoder, [tmp_path / "night.yaml", recordings / "0.wav"], tmp_path / "a.parquet", hop_seconds=2
    )
    rows = pq.read_table(done.file).to_pylist()
    places = [
        (Path(row["path"]).name, row["start_seconds"], row["end_seconds"], row["labels"], row["fold"])
        for row in rows
    ]
    assert places == [
        ("2.wav", 1.0, pytest.approx(1.5, abs=1e-4), ["frog"], "a"),
        ("2.wav", 4.0, 4.96, ["owl"], "b"),
        ("2.wav", 6.0, 6.96, ["owl"], "b"),
        ("2.wav", pytest.approx(6.04, abs=1e-4), pytest.approx(7, abs=1e-4), ["owl"], "b"),
        ("1.wav", 0.0, 0.96, ["frog"], "b"),
        ("1.wav", pytest.approx(1.04, abs=1e-4), pytest.approx(2, abs=1e-4), ["frog"], "b"),
        ("0.wav", 0.0, pytest.approx(0.5, abs=1e-4), [], None),
    ]
    (tmp_path / "wrong.yaml").write_text("corpora: {night: {name: table}}\n")
    with pytest.raises(UserError, match=r"corpora\.night\.root"):
        apply(encoder, [tmp_path / "wrong.yaml"], tmp_path / "b.parquet")
