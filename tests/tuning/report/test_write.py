import csv
import json
import re
from pathlib import Path

import pytest

from echopair.tuning.distributions import Choices, Distribution
from echopair.tuning.report.outcomes import Outcomes
from echopair.tuning.report.write import write_report
from echopair.tuning.trials import Status
from tests.tuning.report.sweeps import SPACE, STRENGTH, hill, random_sweep, trial


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_report_of_many_trials_is_whole_and_stands_alone(tmp_path: Path) -> None:
    sweep = random_sweep(SPACE, 60, hill)
    files = write_report(Outcomes(sweep, SPACE), tmp_path, "many")
    assert {file.name for file in tmp_path.iterdir()} == {
        file.name for file in files
    }  # nothing half-written is left
    assert [file.name for file in files] == [
        "report.html",
        "trials.csv",
        "score_by_parameter.png",
        "heat_map.png",
        "importance.png",
        "learning_curves.png",
    ]
    page = page_of(tmp_path)
    assert page.count("<tr class=") == 60
    assert page.count('src="data:image/png;base64,') == 4
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<script" not in page
    assert len(rows_of(tmp_path)) == 60


def test_the_table_holds_what_the_trials_hold(tmp_path: Path) -> None:
    values = {"objective.temperature": 0.1234567890123, "augment.list": ["gain", {"name": "tilt"}]}
    space: dict[str, Distribution] = {
        "objective.temperature": SPACE["objective.temperature"],
        "augment.list": Choices(values=(["gain", {"name": "tilt"}], None)),
    }
    sweep = [
        trial(3, values, 0.7125, seconds=12.34567, attempts=2),
        trial(1, values | {"augment.list": None}, status=Status.STOPPED, intermediate_scores=2),
        trial(
            2, values, status=Status.FAILED, intermediate_scores=0, steps=0, error="two\nlines, and a comma"
        ),
    ]
    write_report(Outcomes(sweep, space), tmp_path, "table")
    stopped, failed, finished = rows_of(tmp_path)  # in the order of proposal
    assert finished["trial"] == "3"
    assert float(finished["objective.temperature"]) == values["objective.temperature"]
    assert json.loads(finished["augment.list"]) == values["augment.list"]
    assert (finished["score"], finished["seconds"], finished["attempts"]) == ("0.7125", "12.346", "2")
    assert (finished["steps_done"], finished["steps"], finished["last_intermediate_step"]) == (
        "800",
        "800",
        "800",
    )
    assert (stopped["status"], stopped["score"], stopped["augment.list"]) == ("stopped", "", "null")
    assert (stopped["steps_done"], stopped["last_intermediate_score"]) == ("200", "0.125")
    assert (failed["last_intermediate_score"], failed["error"]) == ("", "two\nlines, and a comma")


def test_the_best_stands_first_on_the_page_and_a_diverged_trial_has_no_score(tmp_path: Path) -> None:
    sweep = [
        trial(0, {"augment.strength": 1.0}, 0.0, Status.DIVERGED, error="loss is not finite"),
        trial(1, {"augment.strength": 1.5}, 0.6),
        trial(2, {"augment.strength": 2.0}, 0.7),
    ]
    write_report(Outcomes(sweep, STRENGTH), tmp_path, "order")
    table = page_of(tmp_path).split("<tbody>")[-1]
    scores = re.findall(r'<td class="n">(\d+)</td><td class="n score">(.*?)</td>', table)
    assert scores == [("2", "70.0 %"), ("1", "60.0 %"), ("0", "")]
    assert "loss is not finite" in table


def test_nothing_of_a_sweep_is_taken_for_markup(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    key = "encoder.<i>name"
    space: dict[str, Distribution] = {key: Choices(values=(evil, '"><img src=x>'))}
    sweep = [
        trial(0, {key: evil}, 0.7),
        trial(1, {key: '"><img src=x>'}, status=Status.FAILED, error=f"{evil} \udc80 not UTF-8"),
    ]
    write_report(Outcomes(sweep, space), tmp_path, f"a title & {evil}")
    page = page_of(tmp_path)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "<i>name" not in page
    assert "a title &amp; &lt;script&gt;" in page
    assert "\\udc80" in rows_of(tmp_path)[1]["error"]


def test_a_picture_of_an_earlier_report_does_not_stay(tmp_path: Path) -> None:
    sweep = random_sweep(STRENGTH, 2, lambda strength: 0.5 + strength / 10)
    write_report(Outcomes(sweep, STRENGTH), tmp_path, "the earlier one")
    assert (tmp_path / "learning_curves.png").exists()
    (tmp_path / "mine.png").write_bytes(b"kept")
    unread = [each.model_copy(update={"intermediate_scores": ()}) for each in sweep]
    files = write_report(Outcomes(unread, STRENGTH), tmp_path, "the later one")
    assert not (tmp_path / "learning_curves.png").exists()
    assert (tmp_path / "mine.png").exists()
    assert "the earlier one" not in page_of(tmp_path)
    assert all(file.exists() for file in files)


@pytest.mark.parametrize("status", [Status.WAITING, Status.RUNNING, Status.DIVERGED, Status.FAILED])
def test_a_sweep_without_a_score_has_a_report(tmp_path: Path, status: Status) -> None:
    sweep = [trial(0, {"augment.strength": 1.0}, status=status, intermediate_scores=0, steps=0, seconds=0.0)]
    assert [file.name for file in write_report(Outcomes(sweep, STRENGTH), tmp_path, "none")] == [
        "report.html",
        "trials.csv",
    ]
    assert "No trial has finished" in page_of(tmp_path)


def test_no_trial_at_all_has_a_report(tmp_path: Path) -> None:
    write_report(Outcomes([], STRENGTH), tmp_path, "empty")
    assert "No trial has begun." in page_of(tmp_path)
    assert rows_of(tmp_path) == []


def test_the_page_says_what_scores_are_of_and_what_the_best_trial_got_on_test_clips(tmp_path: Path) -> None:
    sweep = [trial(0, {"augment.strength": 1.0}, 0.7, seconds=60.0)]
    features = {
        "chance": {"score": 0.1, "interval": None, "macro_accuracy": None},
        "pretrained": {"score": 0.875, "interval": [0.81, 0.93], "macro_accuracy": None},
    }
    tested = {
        "corpus": "birds & bats",
        "metric": "accuracy",
        "protocol": "test on fold 5",
        "clips_tested": 80,
        "test_clips_with_copies": 0,
    }
    write_report(
        Outcomes(sweep, STRENGTH, sources=96),
        tmp_path,
        "told",
        about="Score: accuracy of <some> clips" + 50 * " and more",
        tests=[tested | {"features": features}],
        seconds_of_wall_time=150,
    )
    page = page_of(tmp_path)
    assert "Score: accuracy of &lt;some&gt; clips" + 50 * " and more" in page  # long texts are shown whole
    assert "birds &amp; bats: accuracy of a linear probe, 80 clips, test on fold 5" in page
    assert (
        '<tr class="own"><th scope="row"><bdi>pretrained</bdi></th>'
        '<td class="n">87.5%</td><td class="n">81.0% to 93.0%</td></tr>' in page
    )
    assert "The sweep took 2:30 min from beginning to end." in page
    assert '<td class="n score">70.0 ± 9.1 %</td>' in page
