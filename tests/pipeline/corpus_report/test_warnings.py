from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline.corpus_report.write import write_report
from tests.pipeline.corpus_report.manifests import manifest_of


def warnings_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {warning["code"]: warning for warning in report["warnings"]}


def test_duplicates_are_told_apart_by_what_they_spoil(tmp_path: Path) -> None:
    manifest = manifest_of(
        {"samples_sha256": "a", "fold": "1", "labels": ["owl"]},
        {"samples_sha256": "a", "fold": "1", "labels": ["owl"]},
        {"samples_sha256": "a", "fold": "1", "labels": ["owl"]},
        {"samples_sha256": "a", "fold": "2", "labels": ["owl"]},  # leaks
        {"samples_sha256": "b", "fold": "1", "labels": ["owl", "wren"]},
        {"samples_sha256": "b", "fold": "1", "labels": ["wren", "owl"]},  # the same set in another order
        {"samples_sha256": "c", "fold": "1", "labels": ["owl"]},
        {"samples_sha256": "c", "fold": "1", "labels": ["wren"]},  # disagrees
        {"samples_sha256": "d", "fold": "1", "labels": ["owl"]},
        {"samples_sha256": "d", "labels": []},  # no label and no fold contradict nothing
        {"samples_sha256": "e", "split": "train"},
        {"samples_sha256": "e", "split": "test"},  # leaks
        {},
    )
    report = write_report(tmp_path, "x", manifest, [])
    assert report["duplicates"] == {
        "sounds": 5,
        "clips": 12,
        "across_folds": 1,
        "across_splits": 1,
        "across_labels": 1,
    }
    found = warnings_of(report)
    assert {code: warning["count"] for code, warning in found.items()} == {
        "duplicates_leak": 2,
        "duplicates_disagree": 1,
        "duplicates": 7,
    }
    assert found["duplicates_leak"]["examples"] == [
        "0.wav (fold 1) = 1.wav (fold 1) = 3.wav (fold 2) and 1 more",
        "10.wav (split train) = 11.wav (split test)",
    ]
    assert found["duplicates_disagree"]["examples"] == ["6.wav (owl) = 7.wav (wren)"]
    assert found["duplicates"]["examples"] == ["4.wav = 5.wav", "8.wav = 9.wav"]
    assert [w["severity"] for w in report["warnings"]] == ["serious", "serious", "notice"]


def test_source_recordings_in_several_folds_are_leakage(tmp_path: Path) -> None:
    folds_of_groups = [("g", "1"), ("g", "1"), ("h", "1"), ("h", "2"), (None, "1"), (None, "2"), ("i", None)]
    manifest = manifest_of(*({"group": group, "fold": fold} for group, fold in folds_of_groups))
    report = write_report(tmp_path, "x", manifest, [])
    assert report["groups"] == {"groups": 3, "across_folds": 1, "across_splits": 0}
    assert list(warnings_of(report)) == ["groups_leak"]
    assert warnings_of(report)["groups_leak"]["examples"] == ["2.wav (fold 1), 3.wav (fold 2)"]


def test_what_spoils_a_score_stands_before_what_only_deserves_a_look(tmp_path: Path) -> None:
    manifest = manifest_of(
        {"samples_sha256": "a"},
        {"samples_sha256": "a"},
        {"group": "g", "split": "train"},
        {"group": "g", "split": "test"},
    )
    report = write_report(tmp_path, "x", manifest, [])
    assert list(warnings_of(report)) == ["groups_leak", "duplicates"]


@pytest.mark.parametrize(
    ("code", "warned", "spared"),
    [
        ("low_original_rate", {"original_rate_hz": 15999}, {"original_rate_hz": 16000}),
        ("very_quiet", {"loudness_lufs": -50.5}, {"loudness_lufs": -50.0}),
        ("shorter_than_1_s", {"seconds": 0.99}, {"seconds": 1.0}),
    ],
)
def test_a_doubtful_clip_is_named_and_one_on_the_limit_is_not(
    tmp_path: Path, code: str, warned: dict[str, Any], spared: dict[str, Any]
) -> None:
    report = write_report(tmp_path, "x", manifest_of(spared, warned), [], sample_rate_hz=16000)
    assert [(w["code"], w["count"], w["examples"]) for w in report["warnings"]] == [(code, 1, ["1.wav"])]


def test_low_rates_are_judged_by_the_rate_of_the_store(tmp_path: Path) -> None:
    report = write_report(tmp_path, "x", manifest_of({"original_rate_hz": 44100}), [], sample_rate_hz=48000)
    assert list(warnings_of(report)) == ["low_original_rate"]


@pytest.mark.parametrize(("largest", "warned"), [(19, False), (20, True)])
def test_imbalance_is_warned_of_from_ten_to_one(tmp_path: Path, largest: int, warned: bool) -> None:
    clips = [{"labels": ["owl"]}] * largest + [{"labels": ["wren"]}] * 2
    report = write_report(tmp_path, "x", manifest_of(*clips), [])
    assert ("class_imbalance" in warnings_of(report)) == warned


def test_names_in_two_spellings_are_named(tmp_path: Path) -> None:
    manifest = manifest_of({"labels": ["Dog"]}, {"labels": ["dog"]}, {"labels": ["Great  tit"], "group": "1"})
    warning = warnings_of(write_report(tmp_path, "x", manifest, []))["spelling"]
    assert (warning["count"], warning["examples"]) == (1, ["class 'Dog' and 'dog'"])
