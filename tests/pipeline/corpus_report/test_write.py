import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from echopair.pipeline.corpora.recording import Refusal
from echopair.pipeline.corpus_report.write import duration, write_report
from echopair.pipeline.store import manifest_schema
from tests.pipeline.corpus_report.manifests import manifest_of


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def addresses_in(attributes: list[tuple[str, str | None]]) -> list[str | None]:
    return [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset", "data")]


class Tags(HTMLParser):
    """The tags of a page and whether each one opened is closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += addresses_in(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += addresses_in(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_figures_equal_hand_computed_ones(tmp_path: Path) -> None:
    manifest = manifest_of(
        {"labels": ["owl"], "fold": "10", "seconds": 1.5, "original_rate_hz": 48000},
        {"labels": ["owl", "wren"], "fold": "2", "seconds": 2.5, "channels": 2},
        {"labels": ["wren", "owl", "owl"], "fold": "2", "seconds": 3.0},
        {"seconds": 3600.0, "split": "test"},
    )
    refused = [Refusal("bad.wav", "cut short")]
    report = write_report(tmp_path, "birds", manifest, refused, sample_rate_hz=16000)

    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report
    assert (report["corpus"], report["clips"], report["refused"]) == ("birds", 4, 1)
    assert report["refused_share"] == pytest.approx(0.2)
    assert (report["seconds"], report["duration"]) == (3607.0, "1 h 0 min 7 s")
    assert report["classes"] == [
        {"label": "owl", "clips": 3, "folds": {"2": 2, "10": 1}, "splits": {"test": 0}},
        {"label": "wren", "clips": 2, "folds": {"2": 2, "10": 0}, "splits": {"test": 0}},
    ]
    assert list(report["folds"].items()) == [("2", 2), ("10", 1)]  # as people count, not as strings sort
    assert report["splits"] == {"test": 1}
    assert (report["unlabelled_clips"], report["multi_label_clips"]) == (1, 2)
    assert report["original_rates"] == [{"rate_hz": 44100, "clips": 3}, {"rate_hz": 48000, "clips": 1}]
    assert report["original_channels"] == [{"channels": 1, "clips": 3}, {"channels": 2, "clips": 1}]
    assert report["refusals"] == [{"path": "bad.wav", "reason": "cut short", "kind": "cut short"}]
    assert report["warnings"] == []
    assert (report["highest_hz"], report["above_highest_hz"]) == (8000, 4)
    assert "4 clips come from recordings that go up to 24 kHz; the clips hold sound up to 8 kHz" in page_of(
        tmp_path
    )


def test_an_equal_histogram_has_half_open_bins_with_round_edges(tmp_path: Path) -> None:
    levels = (-24.0, -23.5, -23.0, -20.0)
    report = write_report(tmp_path, "x", manifest_of(*({"loudness_lufs": level} for level in levels)), [])
    figures = report["loudness_lufs_distribution"]
    assert figures["edges"] == [-24, -23, -22, -21, -20, -19]
    assert figures["counts"] == [2, 1, 0, 0, 1]
    assert (figures["min"], figures["median"], figures["max"]) == (-24.0, -23.25, -20.0)
    assert figures["mean"] == -22.625


def test_durations_with_a_long_tail_get_bins_that_grow(tmp_path: Path) -> None:
    seconds = (0.3, 1.0, 1.9, 2.0, 70.0)
    report = write_report(tmp_path, "x", manifest_of(*({"seconds": value} for value in seconds)), [])
    assert report["seconds_distribution"]["edges"] == [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    assert report["seconds_distribution"]["counts"] == [1, 0, 2, 1, 0, 0, 0, 1]


def test_silence_and_missing_levels_stay_within_json(tmp_path: Path) -> None:
    manifest = manifest_of(
        {"peak_dbfs": -np.inf, "loudness_lufs": -np.inf}, {"peak_dbfs": np.nan, "loudness_lufs": None}
    )
    report = write_report(tmp_path, "x", manifest, [])
    assert report["peak_dbfs_distribution"]["min"] == -100.0
    assert report["loudness_lufs_distribution"]["counts"] == [1]
    assert "Practically silent: 1." in report["warnings"][0]["detail"]


def test_texts_of_the_corpus_are_harmless_on_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    quote = '"><img src=x onerror=alert(1)>'
    manifest = manifest_of(
        {"labels": [evil], "fold": quote, "path": evil, "samples_sha256": "a"},
        {"labels": [quote], "fold": "2", "path": quote, "samples_sha256": "a"},
    )
    refused = [Refusal(f"{evil}\udcff\u202e.wav", evil)]
    report = write_report(tmp_path, evil, manifest, refused)
    page = page_of(tmp_path)
    tags = Tags(page)
    assert not {"script", "img"} & set(tags.seen)
    assert tags.open == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert r"\udcff\u202e.wav" in page
    # report.json keeps what the page spells out
    assert json.loads((tmp_path / "report.json").read_bytes())["refusals"][0]["path"] == refused[0].path
    assert report["classes"][0]["folds"] == {"2": 1, quote: 0}


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    manifest = manifest_of({"seconds": 1.0}, {"seconds": 3.0}, {"seconds": 9.0})
    write_report(tmp_path, "x", manifest, [Refusal("a", "b")])
    page = page_of(tmp_path)
    assert Tags(page).addresses == []
    assert not re.search(r"url\(|@import|https?:", page)
    assert "prefers-color-scheme: dark" in page
    assert {"svg", "rect"} <= set(Tags(page).seen)


@pytest.mark.parametrize("refused", [[], [Refusal("a.wav", "holds NaN"), Refusal("b.wav", "holds NaN")]])
def test_a_corpus_without_a_clip_is_reported_with_the_same_keys(
    tmp_path: Path, refused: list[Refusal]
) -> None:
    full = write_report(tmp_path, "x", manifest_of({"labels": ["owl"]}), [])
    empty = write_report(tmp_path, "x", manifest_schema().empty_table(), refused)
    assert list(empty) == list(full)
    assert (empty["clips"], empty["duration"], empty["warnings"]) == (0, "0 s", [])
    assert empty["refused_share"] == (1.0 if refused else 0.0)
    assert empty["seconds_distribution"]["edges"] == []
    assert "No clips" in page_of(tmp_path)
    assert ("holds NaN" in page_of(tmp_path)) == bool(refused)


def test_reasons_are_grouped_by_what_they_share(tmp_path: Path) -> None:
    refused = [
        Refusal("a.wav", "shorter than 0.05 s (0.012 s)"),
        Refusal("b.wav", "shorter than 0.05 s (0.03 s)"),
        Refusal("c.wav", "cannot be decoded: unknown format"),
        Refusal("d.wav", "cannot be decoded: Error in 'd.wav'"),
        Refusal("e.wav", "e.wav: cannot be decoded"),
        Refusal("f.wav", ""),
    ]
    report = write_report(tmp_path, "x", manifest_of({}), refused)
    assert report["refusal_kinds"] == [
        {"kind": "cannot be decoded", "refused": 3},
        {"kind": "shorter than … s (… s)", "refused": 2},
        {"kind": "no reason given", "refused": 1},
    ]


def test_the_page_stays_small_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    clips = 40_000
    numbers = np.arange(clips)
    manifest = pa.table(
        {
            "path": [f"site/{'deep/' * 100}{n}.wav" for n in numbers],
            "labels": pa.ListArray.from_arrays(
                pa.array(np.arange(clips + 1), pa.int32()),
                pa.array([f"{'long name ' * 20}{n % 1000}" for n in numbers]),
            ),
            "fold": [str(n % 20) for n in numbers],
            "split": pa.nulls(clips, pa.string()),
            "group": [str(n // 3) for n in numbers],
            "samples": numbers,
            "seconds": 0.1 + numbers / 100,
            "original_rate_hz": 8000 + numbers,
            "channels": np.ones(clips),
            "peak_dbfs": -numbers / 1000.0,
            "loudness_lufs": -10 - numbers / 1000.0,
            "samples_sha256": [str(n // 2) for n in numbers],
            "sound": [str(n // 2) for n in numbers],
            "shard": numbers,
            "offset": numbers,
            "scale": np.ones(clips),
        }
    )
    refused = [Refusal(f"{'<' * 400}{n}.wav", f"holds NaN at sample {n}") for n in range(3000)]
    refused += [Refusal("rare.wav", "is a pipe")]
    refused += [Refusal(f"other/{n}.wav", "fails like " + "z" * (n + 1)) for n in range(100)]
    report = write_report(tmp_path, "big", manifest, refused)
    page = page_of(tmp_path)

    assert len(page.encode()) < 1_000_000
    assert page.count('<table class="refusals">') == 26  # 25 kinds and all others together
    assert page.count("<td><bdi>") == 2 * 500
    assert "rare.wav" in page  # a frequent kind does not push out a rare one
    assert "3,000" in page
    assert "800 smaller classes" in page
    assert len(report["refusals"]) == 3101
    assert len(report["classes"]) == 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (6.54, "6.5 s"),
        (59.99, "1 min 0 s"),
        (4000.2, "1 h 6 min 40 s"),
        (3_600_000.0, "1,000 h 0 min 0 s"),
    ],
)
def test_durations_are_said_in_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    assert duration(seconds) == text
