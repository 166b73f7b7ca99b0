"""`evaluate` on real recordings: what is asked, what is cached, what is refused, and what it leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.config import compose_evaluation, split_evaluate_arguments
from echopair.pipeline.evaluate.run import Evaluated, evaluate
from echopair.pipeline.evaluate.suites import SUITES as SUITES_BY_NAME
from echopair.pipeline.evaluate.write import write_evaluation
from echopair.pipeline.tracking import TrackingConfig
from echopair.pipeline.tracking.runs import list_runs, tagged_runs
from tests.pipeline.conftest import audio_encoder, write_tones
from tests.pipeline.evaluate.making import HEAR_MODULE

SUITES = "suites=[linear,nearest_neighbours]"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in a folder for each of two classes."""
    root = tmp_path_factory.mktemp("recordings")
    for recording in write_tones(tmp_path_factory.mktemp("written")):
        folder = root / recording.labels[0]
        folder.mkdir(exist_ok=True)
        recording.path.rename(folder / recording.path.name)
    return root


def arguments(corpus: Path, work: Path, *more: str) -> list[str]:
    return ["folder", f"corpora.recordings.root={corpus}", f"work_folder={work}", *more]


@pytest.fixture(scope="module")
def done(encoder: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    return evaluate([str(encoder), *arguments(corpus, tmp_path_factory.mktemp("work"), SUITES)])


def test_an_encoder_stands_beside_its_baselines(done: Evaluated) -> None:
    results = done.results["recordings"]
    assert list(results) == ["linear", "nearest_neighbours"]
    assert all(list(one) == ["mel statistics", "untrained", "pretrained"] for one in results.values())
    # Low and high tones: anything tells them apart by their mel bands.
    assert results["linear"]["mel statistics"].metrics["score"].value == 1


def test_what_is_done_is_not_done_again(done: Evaluated, encoder: Path, corpus: Path) -> None:
    work = done.settings.run.work_folder
    again = evaluate([str(encoder), *arguments(corpus, work, SUITES)])
    assert again.did == []
    more = evaluate([str(encoder), *arguments(corpus, work, "suites=[linear]", "linear.C=[1]")])
    assert [one.split()[0] for one in more.did] == ["linear"] * 3
    values = [one["pretrained"].metrics["score"] for one in (again.results["recordings"]["linear"],)]
    first = done.results["recordings"]["linear"]["pretrained"].metrics["score"]
    assert values[0].value == first.value
    np.testing.assert_array_equal(values[0].resamples, first.resamples)


def test_page_scores_and_runs_in_mlflow(done: Evaluated) -> None:
    folder = write_evaluation(done)
    text = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert "Can a linear classifier tell the classes apart?" in text
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    linear = next(one for one in rows if one["encoder"] == "pretrained" and one["suite"] == "linear")
    metric = done.results["recordings"]["linear"]["pretrained"].metrics["score"]
    assert float(linear["value"]) == metric.value
    work = done.settings.run.work_folder.absolute()
    (run,) = tagged_runs(TrackingConfig(), work, "echopair.kind", "evaluation")
    assert run.metrics["recordings/linear/score"] == metric.value
    assert run.status == "FINISHED"
    assert list_runs(TrackingConfig(), work) == []  # `echopair compare` shows runs of the pipeline


def test_metrics_that_compare_encoders_are_among_the_scores(
    encoder: Path, corpus: Path, tmp_path: Path
) -> None:
    done = evaluate([str(encoder), *arguments(corpus, tmp_path, "suites=[robustness]", "robustness.clips=4")])
    folder = write_evaluation(done)
    with (folder / "scores.csv").open(newline="") as file:
        rows = [one for one in csv.DictReader(file) if one["metric"] == "mean_corruption_error"]
    assert [one["encoder"] for one in rows][:1] == ["mel statistics"]
    assert float(rows[0]["value"]) == 1


def test_several_encoders_have_short_names_and_share_the_untrained_one(corpus: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        audio_encoder().save(tmp_path / name / "encoder")
    encoders = [str(tmp_path / name / "encoder") for name in ("first", "second")]
    done = evaluate([*encoders, *arguments(corpus, tmp_path / "work", "suites=linear")])
    assert [one.name for one in done.encoders] == ["mel statistics", "untrained", "first", "second"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["suites=[linaer]"], "no suite 'linaer'; did you mean 'linear'"),
        (["linear.c=[1]"], "unknown key 'linear.c'; did you mean 'linear.C'"),
        (["corpora.recordings.labels=none"], "no corpus has labels"),
        (["esc-10"], "no preset 'esc-10'; did you mean 'esc10'"),
    ],
)
def test_bad_input_is_refused(
    encoder: Path, corpus: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate([str(encoder), *arguments(corpus, tmp_path, *more)])
    assert not (tmp_path / "clips").exists()


def test_every_key_of_a_suite_can_be_given() -> None:
    for name, suite in SUITES_BY_NAME.items():
        defaults = suite.config()
        for key, value in defaults.model_dump(mode="json").items():
            given = compose_evaluation([], [f"{name}.{key}={json.dumps(value)}"], None)
            assert given.of(name) == defaults


def test_a_folder_of_another_kind_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no encoder folder"):
        evaluate([str(corpus), *arguments(corpus, tmp_path)])
    with pytest.raises(UserError, match="name an encoder"):
        evaluate(arguments(corpus, tmp_path))


def test_a_peer_of_another_rate_gets_the_same_clips_at_its_rate(
    done: Evaluated, encoder: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "band_energies.py").write_text(HEAR_MODULE)
    work = done.settings.run.work_folder
    both = evaluate([str(encoder), "hear:band_energies", *arguments(corpus, work, "suites=[linear]")])
    assert [one.sample_rate_hz for one in both.encoders] == [16000, 16000, 16000, 8000]
    linear = both.results["recordings"]["linear"]
    assert linear["band_energies"].metrics["score"].value == 1  # low and high tones
    first = done.results["recordings"]["linear"]["pretrained"].metrics["score"]
    own = linear[both.encoders[2].name].metrics["score"]
    assert own.value == first.value
    assert len(linear["band_energies"].metrics["score"].resamples) == len(own.resamples)
    assert "hear:band_energies" in (write_evaluation(both) / "evaluation.html").read_text(encoding="utf-8")


def test_an_address_may_hold_an_equals_sign() -> None:
    parts = split_evaluate_arguments(
        ["hear:panns:/lr=1/a.pt", "corpora.a.root=/a:b", "onnx:/lr=1/a.onnx@8000"]
    )
    assert parts.encoders == ["hear:panns:/lr=1/a.pt", "onnx:/lr=1/a.onnx@8000"]
    assert parts.overrides == ["corpora.a.root=/a:b"]
