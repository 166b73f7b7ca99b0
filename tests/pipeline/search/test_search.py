"""Search: the most similar rows, exactly, as a table and a page to listen to."""

import subprocess
from pathlib import Path

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import soundfile

from echopair.audio_files import has_ffmpeg
from echopair.pipeline.apply import apply
from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.errors import UserError
from echopair.pipeline.search import (
    Excerpt,
    missing_recordings,
    query_excerpt,
    search_for,
    similar_pairs,
    write_hits,
    write_search_page,
)
from echopair.pipeline.search.excerpt import excerpts_of
from echopair.pipeline.search.similarity import similarities_to
from echopair.pipeline.search.write import clock
from echopair.tuning.cli import main
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE
from tests.pipeline.conftest import audio_encoder

RATE = 16000


def bursts(seconds: float, at: float, hz: float) -> np.ndarray:
    """Noise with a second of a warbling tone in it."""
    generator = np.random.default_rng(round(at * 10 + hz))
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.01 * generator.normal(size=len(time))
    inside = (time >= at) & (time < at + 1)
    return np.where(inside, sound + 0.4 * np.sin(2 * np.pi * (hz + 30 * np.sin(9 * time)) * time), sound)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with the same tone at different times, one with another; an encoder, and their table."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "recordings").mkdir()
    for name, at, hz in (("a", 2.0, 700), ("b", 6.0, 700), ("c", 4.0, 4000)):
        soundfile.write(folder / "recordings" / f"{name}.wav", bursts(10, at, hz), RATE)
    audio_encoder().save(folder / "encoder")
    apply(folder / "encoder", [folder / "recordings"], folder / "table.parquet")
    return folder


def test_the_same_sound_in_another_recording_comes_first_and_no_part_twice(folder: Path) -> None:
    query = query_excerpt(folder / "recordings" / "a.wav", 2.0, 3.0)
    found = search_for(folder / "table.parquet", query, top=5)
    best = found.hits[0].excerpt
    assert Path(best.path).name == "b.wav"
    assert best.start_seconds == pytest.approx(6, abs=0.5)
    assert found.rows == pq.read_metadata(folder / "table.parquet").num_rows
    similarities = [hit.similarity for hit in found.hits]
    assert similarities == sorted(similarities, reverse=True)
    excerpts = [query, *(hit.excerpt for hit in found.hits)]
    assert len(excerpts) == 6
    assert not any(one.overlaps(other) for n, one in enumerate(excerpts) for other in excerpts[:n])


def test_similarities_are_cosines_of_standardised_embeddings(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(loc=5, size=(7, 4)).astype(np.float32)
    rows[:, 3] = 2  # the same in every row
    info = TableInfo(
        encoder_sha256="", encoder={}, encoder_folder="", window_seconds=1, hop_seconds=1, key=""
    )
    sources = [Recording(Path("a"), "a")] * 7
    table = make_rows(table_schema(4, info), sources, np.arange(7.0), np.arange(1.0, 8), rows)
    pq.write_table(table, tmp_path / "a.parquet")
    query = np.float32([5, 6, 4, 2])
    standardised, wanted = ((x - rows.mean(0)) / np.append(rows.std(0)[:3], 1) for x in (rows, query))
    expected = standardised @ wanted / np.linalg.norm(standardised, axis=1) / np.linalg.norm(wanted)
    np.testing.assert_allclose(similarities_to(tmp_path / "a.parquet", query), expected, rtol=1e-4)


def test_a_query_shorter_than_a_crop_is_repeated_and_that_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search_for(folder / "table.parquet", query_excerpt(folder / "recordings" / "a.wav", 2.0, 2.3), top=1)
    assert "the query is shorter than a crop of the encoder, 0.96 s" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_silent_query_and_one_longer_than_the_parts_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search_for(folder / "table.parquet", query_excerpt(folder / "recordings" / "a.wav", 0, 1), top=1)
    assert capsys.readouterr().err == ""
    silent = folder / "silent.wav"
    soundfile.write(silent, np.zeros(10 * RATE), RATE)
    search_for(folder / "table.parquet", query_excerpt(silent, None, None), top=1)
    said = " ".join(capsys.readouterr().err.split())
    assert "the query of 10.0 s is compared with parts of 0.96 s" in said
    assert "the query is silent" in said


def test_relative_paths_count_from_where_the_table_was_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    apply(folder / "encoder", [Path("recordings")], tmp_path / "relative.parquet")
    monkeypatch.chdir(tmp_path)
    excerpts = excerpts_of(tmp_path / "relative.parquet")
    assert excerpts[0].path == str(folder / "recordings" / "a.wav")
    assert missing_recordings(excerpts) == ""
    gone = [excerpts[0]._replace(path="recordings/gone.wav"), *excerpts]
    assert missing_recordings(gone).startswith(
        "1 of 4 recordings are not on this machine, first recordings/gone.wav"
    )


def test_hits_as_csv(folder: Path, tmp_path: Path) -> None:
    found = search_for(folder / "table.parquet", query_excerpt(folder / "recordings" / "a.wav", 2, 3), top=2)
    write_hits(tmp_path / "hits.csv", [(hit.similarity, [hit.excerpt]) for hit in found.hits])
    rows = polars.read_csv(tmp_path / "hits.csv")
    assert rows.columns == ["rank", "similarity", "path", "start_seconds", "end_seconds"]
    assert rows["path"].to_list() == [hit.excerpt.path for hit in found.hits]
    pair = similar_pairs(folder / "table.parquet", 1)[0]
    write_hits(tmp_path / "pairs.csv", [(pair.similarity, [pair.one, pair.other])])
    assert polars.read_csv(tmp_path / "pairs.csv").columns[2:] == [
        f"{name}_{n}" for n in (1, 2) for name in ("path", "start_seconds", "end_seconds")
    ]


def test_what_cannot_be_searched_is_named(folder: Path, tmp_path: Path) -> None:
    recording = folder / "recordings" / "a.wav"
    with pytest.raises(UserError, match=r"^--end=11: .*a.wav is 10.00 s long; give an end within it"):
        query_excerpt(recording, 9, 11)
    with pytest.raises(UserError, match=r"^--start=12: .*a.wav is 10.00 s long; give a start within it"):
        query_excerpt(recording, 12, None)
    soundfile.write(tmp_path / "whole.ogg", bursts(10, 2, 700), RATE)
    (tmp_path / "cut.ogg").write_bytes((tmp_path / "whole.ogg").read_bytes()[:9000])
    with pytest.raises(UserError, match=r"cut.ogg: truncated: "):
        query_excerpt(tmp_path / "cut.ogg", None, None)
    with pytest.raises(UserError, match=r"gone.wav: there is no such file"):
        query_excerpt(tmp_path / "gone.wav", None, None)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UserError, match=r"text.wav cannot be read as sound"):
        query_excerpt(tmp_path / "text.wav", None, None)
    query = query_excerpt(recording, 0, 2)
    with pytest.raises(UserError, match=r"gone.parquet: there is no such file"):
        search_for(tmp_path / "gone.parquet", query, 1)
    other = audio_encoder()
    next(other.encoder.parameters()).data.add_(1)
    other.save(tmp_path / "other")
    with pytest.raises(UserError, match=r"was made by another encoder than .*other"):
        search_for(folder / "table.parquet", query, 1, tmp_path / "other")
    table = pq.read_table(folder / "table.parquet")
    moved = table.schema.metadata[b"echopair"].replace(str(folder / "encoder").encode(), b"/moved")
    pq.write_table(table.replace_schema_metadata({b"echopair": moved}), tmp_path / "moved.parquet")
    with pytest.raises(UserError, match=r"made by the encoder in /moved, which is gone; name .* --encoder"):
        search_for(tmp_path / "moved.parquet", query, 1)
    assert search_for(tmp_path / "moved.parquet", query, 1, folder / "encoder").hits


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 3.24, 59.97, 3723.5)] == [
        "0:00.0",
        "0:03.2",
        "1:00.0",
        "1:02:03.5",
    ]


def test_the_page_shows_what_can_be_read_and_says_what_cannot(folder: Path, tmp_path: Path) -> None:
    query = query_excerpt(folder / "recordings" / "a.wav", 2.0, 3.0)
    found = search_for(folder / "table.parquet", query, top=3)
    gone = found.hits[0]._replace(excerpt=Excerpt("/gone.wav", 0, 1))
    shorter = found.hits[0]._replace(excerpt=found.hits[0].excerpt._replace(start_seconds=20, end_seconds=21))
    write_search_page(
        query,
        found._replace(hits=[*found.hits, gone, shorter]),
        folder / "table.parquet",
        tmp_path / "a.html",
    )
    text = (tmp_path / "a.html").read_text()
    assert text.count("<audio") == text.count("<img") == 4
    assert "/gone.wav: there is no such file" in text
    assert "ends before 20 s; it has changed since" in text


def test_a_sound_that_is_too_long_for_the_page_is_shortened_and_that_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echopair.pipeline.pages.sound.SOUND_BYTES", 100_000)
    query = query_excerpt(folder / "recordings" / "a.wav", 0, 9)
    write_search_page(
        query, search_for(folder / "table.parquet", query, 1), folder / "table.parquet", tmp_path / "a.html"
    )
    assert "0:00.0 to 0:09.0, of which the first 1.2 s are shown" in (tmp_path / "a.html").read_text()


@pytest.mark.browser
@NEEDS_BROWSER[1]
def test_the_page_plays_a_hit_in_a_browser(folder: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    query = query_excerpt(folder / "recordings" / "a.wav", 2.0, 3.0)
    page_file = tmp_path / "a.html"
    write_search_page(
        query, search_for(folder / "table.parquet", query, 3), folder / "table.parquet", page_file
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(page_file.as_uri())
        duration = page.evaluate(
            """async () => {
                const audio = document.querySelectorAll("audio")[1];
                audio.muted = true;
                const ended = new Promise(done => audio.addEventListener("ended", done));
                await audio.play();
                await ended;
                return audio.duration;
            }"""
        )
        assert duration == pytest.approx(0.96, abs=0.01)
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        assert complaints == []
        browser.close()


def test_a_page_in_a_folder_that_does_not_exist_is_refused_before_the_search(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, recording = str(folder / "table.parquet"), str(folder / "recordings" / "a.wav")
    monkeypatch.setattr("sys.argv", ["echopair", "search", table, recording, "--page", "/nowhere/a.html"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--page=/nowhere/a.html is no file in a folder that exists" in capsys.readouterr().err


def test_a_query_that_ffmpeg_alone_reads(folder: Path, tmp_path: Path) -> None:
    if not has_ffmpeg():
        pytest.skip("needs ffmpeg")
    sound = tmp_path / "query.m4a"
    wav = folder / "recordings" / "a.wav"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", wav, "-c:a", "aac", sound], check=True)
    hit, *_ = search_for(folder / "table.parquet", query_excerpt(sound, 2.0, 3.0), top=2).hits
    assert Path(hit.excerpt.path).name == "a.wav"
    assert hit.excerpt.start_seconds == pytest.approx(2.0, abs=0.6)


def test_the_page_of_pairs_shows_both_parts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pairs.html"
    arguments = ["search", str(folder / "table.parquet"), "--pairs", "2", "--page", str(page)]
    monkeypatch.setattr("sys.argv", ["echopair", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.count(".wav") == 2
    assert page.read_text().count("<audio") == page.read_text().count("<img") == 4
    monkeypatch.setattr("sys.argv", ["echopair", "search", str(folder / "table.parquet")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
