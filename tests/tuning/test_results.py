import io
import re
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from echopair.tuning.results import exit_note, ranked, results_table, summary_line
from echopair.tuning.texts import (
    duration_text,
    error_line,
    half_interval,
    percent_text,
    score_text,
    short_keys,
    value_text,
)
from echopair.tuning.trials import IntermediateScore, Status, Trial

KEYS = (
    "objective.temperature",
    "pretrain.learning_rate",
    "augment.strength",
    "encoder.width",
    "crops.positives.name",
    "augment.policy.augmentations",
)
STATUSES = (
    Status.FINISHED,
    Status.STOPPED,
    Status.STOPPED,
    Status.DIVERGED,
    Status.FINISHED,
    Status.FAILED,
)
CUT_NUMBER = re.compile(r"\d…")


def sweep(count: int, keys: tuple[str, ...] = KEYS) -> list[Trial]:
    """Trials with values as wide as they become, most of them ended."""
    trials = []
    for number in range(count):
        status = STATUSES[number % len(STATUSES)]
        values = {
            "objective.temperature": 0.00123 + number / 1000,
            "pretrain.learning_rate": 1.234e-5 * (number + 1),
            "augment.strength": 0.123 + number % 4,
            "encoder.width": 16 * (1 + number % 8),
            "crops.positives.name": ("two_offsets", "neighbours")[number % 2],
            "augment.policy.augmentations": ["mix_back", {"name": "gain", "max_gain_db": 3.0}, "tilt"],
        }
        score = {Status.FINISHED: 0.5 + number / 1000, Status.DIVERGED: 0.0}.get(status)
        reached = 9 if status is Status.FINISHED else 2
        readings = tuple(
            IntermediateScore(
                milestone=m, step=100 * m, score=0.3 + number / 1000 + m / 100, seconds=60.0 * m
            )
            for m in range(1, reached + 1)
        )
        trials.append(
            Trial(
                number=number,
                values={key: values[key] for key in keys},
                status=status,
                score=score,
                steps=900,
                intermediate_scores=readings,
                seconds=3599.0,
                error="out of memory" if status is Status.FAILED else "",
            )
        )
    return trials


def drawn(trials: list[Trial], keys: Sequence[str], width: int, sources: int | None = None) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, highlight=False)
    console.print(results_table(trials, keys, console, sources))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize("count", [4, 16, 400])
@pytest.mark.parametrize(("width", "keys"), [(80, KEYS[:3]), (120, KEYS)])
def test_a_table_fits_the_terminal_with_every_value_whole(
    count: int, width: int, keys: tuple[str, ...]
) -> None:
    trials = sweep(count, keys)
    lines = drawn(trials, keys, width)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 2 + 20 + 1
    for trial in ranked(trials)[:20]:
        (line,) = (line for line in lines if re.match(rf" *{trial.number} ", line))
        assert all(value_text(trial.values[key]) in line for key in keys[:4])
        assert (percent_text(trial.score) in line) == (trial.status is not Status.DIVERGED)
        assert "59:59 min" in line
    assert (lines[-1].strip() == "... and 380 more in trials.csv") == (count == 400)


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_no_number_is_cut_in_a_terminal_of_any_width(width: int) -> None:
    lines = drawn(sweep(400), KEYS, width)
    assert max(map(cell_len, lines)) <= width
    assert not any(CUT_NUMBER.search(line) for line in lines)
    assert any("no room for" in line for line in lines) == (width <= 80)


def test_the_best_stands_first_and_bold() -> None:
    file = io.StringIO()
    console = Console(width=80, file=file, force_terminal=True, highlight=False)
    trials = sweep(16, KEYS[:2])
    console.print(results_table(trials, KEYS[:2], console))
    first, second = file.getvalue().split("\n")[2:4]
    assert "51.2 %" in first
    assert "\x1b[1m" in first
    assert "\x1b[1m" not in second


def test_ranked_trials_go_from_scores_to_intermediate_scores_to_failures() -> None:
    order = [trial.status for trial in ranked(sweep(6))]
    assert order == [
        *[Status.FINISHED] * 2,
        *[Status.STOPPED] * 2,
        Status.DIVERGED,
        Status.FAILED,
    ]
    # A reading above every score does not outrank a trial that finished.
    high = Trial(
        number=9,
        values={},
        status=Status.STOPPED,
        intermediate_scores=(IntermediateScore(milestone=1, step=1, score=0.99, seconds=1),),
    )
    assert [trial.number for trial in ranked([high, *sweep(6)])][:3] == [4, 0, 9]


def test_a_population_shows_the_last_values_and_says_so() -> None:
    lineage = ({"step": 0, "values": {"a.b": 0.1}}, {"step": 50, "values": {"a.b": 0.7}})
    text = "\n".join(drawn([Trial(number=0, values={"a.b": 0.1}, lineage=lineage)], ["a.b"], 80))
    assert "0.7" in text
    assert "0.1" not in text
    assert "the population changed them" in text


def test_a_sweep_without_trials_is_a_table_without_rows() -> None:
    assert drawn([], KEYS[:1], 80)[-1].split()[:2] == ["trial", "score"]
    assert summary_line([]) == "no trial was begun"
    assert exit_note([]) == ""


def test_a_score_has_the_interval_of_its_sources() -> None:
    # Agresti and Coull: 96 sources at a half are 10 points to either side; 0 of 10 are not certainly 0.
    assert half_interval(0.5, 96) == pytest.approx(0.098, abs=0.001)
    assert half_interval(0.0, 10) == pytest.approx(0.18, abs=0.01)
    assert score_text(0.641, 96) == "64.1 ± 9.4 %"
    assert score_text(0.641) == "64.1 %"
    assert score_text(None, 96) == ""
    lines = drawn(sweep(4), KEYS[:1], 80, sources=96)
    assert sum("±" in line for line in lines) == 1  # the one that finished; a diverged trial's 0 is no score


def test_brackets_in_values_are_no_markup() -> None:
    trials = [Trial(number=0, values={"a.b": "[bold]x[/]"})]
    assert "[bold]x[/]" in "\n".join(drawn(trials, ["a.b"], 80))


def test_a_summary_counts_how_trials_ended() -> None:
    assert summary_line(sweep(16)) == "16 trials: 5 finished, 6 stopped early, 3 diverged, 2 failed"
    assert summary_line(sweep(1)) == "1 trial: 1 finished"


def test_an_exit_note_tells_of_the_first_failure() -> None:
    assert exit_note(sweep(4)) == ""
    assert exit_note(sweep(16)[::-1]) == "2 of 16 trials failed; trial 5: out of memory"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["objective.temperature", "seed"], ["temperature", "seed"]),
        (["pretrain.learning_rate"], ["learning rate"]),
        (["encoder.width", "projection.width", "seed"], ["encoder width", "projection width", "seed"]),
        (["augment.policy.name", "encoder.name"], ["policy", "encoder"]),
        (["a.b.x", "c.b.x", "c.d.x"], ["a b x", "c b x", "d x"]),
        (["width", "encoder.width"], ["width", "encoder width"]),
    ],
)
def test_keys_are_as_short_as_tells_them_apart(keys: list[str], expected: list[str]) -> None:
    assert short_keys(keys) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456, "0.123"),
        (0.00123456, "0.00123"),
        (0.000123456, "0.000123"),
        (1e-5, "1e-05"),
        (7800.0, "7800"),
        (123456.0, "123000"),
        (1.5e9, "1.5e+09"),
        (-0.25, "-0.25"),
        (0.0, "0"),
        (16, "16"),
        (True, "true"),
        (None, "none"),
        ("two_offsets", "two_offsets"),
        (["mix_back", "gain", "tilt"], "mix_back, gain +1"),
        ({"name": "gain", "max_gain_db": 3.0}, "gain (max_gain_db 3)"),
        ({"name": "resnet"}, "resnet"),
        ("a" * 30, "a" * 23 + "…"),
    ],
)
def test_values_are_written_in_few_characters(value: object, expected: str) -> None:
    assert value_text(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (3599, "59:59 min"),
        (3600, "1:00 h"),
        (90061, "25:01 h"),
    ],
)
def test_durations_have_their_unit(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_an_error_is_one_line_without_colours() -> None:
    traceback = (
        '\x1b[36mray::trial()\x1b[39m\n  File "trial.py", line 3\nValueError: \x1b[1mno clips\x1b[0m\n'
    )
    assert error_line(traceback) == "ValueError: no clips"
    assert error_line("unknown key 'a'\n... and 2 more") == "unknown key 'a' ... and 2 more"
    assert len(error_line("x" * 1000)) == 160
    assert error_line("") == "no reason was given"
