from typing import Any

import pytest

from echopair.tuning.report.findings import findings
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.trials import Status, Trial
from tests.tuning.report.sweeps import (
    ENCODER,
    SEED,
    STEPS,
    STRENGTH,
    TEMPERATURE,
    along,
    hill,
    random_sweep,
    trial,
)

BOTH = [TEMPERATURE, STRENGTH]


def values(temperature: float, strength: float = 1.0) -> dict[str, Any]:
    return {"objective.temperature": temperature, "augment.strength": strength}


def sentence(sentences: list[str], part: str) -> str:
    """The one sentence with a part."""
    [found] = [each for each in sentences if part in each]
    return found


def test_the_best_comes_first_with_its_setting_and_its_rivals() -> None:
    sweep = [
        trial(0, values(0.2), 0.6),
        trial(7, values(0.12, 0.8), 0.712),
        trial(9, values(0.1, 0.9), 0.703),
    ]
    assert findings(sweep, BOTH)[0] == (
        "Best: trial 7, 71.2 %, temperature 0.12, strength 0.8. 1 more of 3 finished trials is within 1 point of it."
    )
    assert findings(sweep[:2], BOTH)[0].endswith(
        "The next, trial 0, is 11.2 points lower (2 trials finished)."
    )


def test_a_plateau_is_told_with_its_trials_and_its_width() -> None:
    places = [0.04, 0.08, 0.1, 0.12, 0.15, 0.18, 0.5]
    sweep = along(TEMPERATURE, places, [0.6, 0.705, 0.71, 0.701, 0.69, 0.702, 0.6])
    assert (
        "objective.temperature: from 0.08 to 0.18, 4 of the 5 trials are within 1 point of the best (a factor of 2.25)."
        in findings(sweep, [TEMPERATURE])
    )


def test_a_lonely_best_is_told_with_its_neighbours() -> None:
    sweep = along(STRENGTH, [0.5, 1.0, 2.0, 2.5], [0.6, 0.7, 0.65, 0.4])
    assert (
        "augment.strength: no value but 1 came within 1 point of the best "
        "(next below, 0.5 came to 60.0 %; next above, 2 came to 65.0 %)."
    ) in findings(sweep, [STRENGTH])


def test_words_are_compared_by_their_best_trials() -> None:
    sweep = along(ENCODER, ["resnet", "resnet", "vgg_like", "crnn"], [0.7, 0.5, 0.66, 0.6])
    assert (
        "encoder.name: only resnet came within 1 point of the best; vgg_like came to 66.0 %; crnn came to 60.0 %."
        in findings(sweep, [ENCODER])
    )


def test_a_best_at_the_edge_asks_for_a_wider_range() -> None:
    rising = along(STRENGTH, [0.1, 0.8, 1.5, 2.2, 2.95], [0.5, 0.55, 0.6, 0.65, 0.7])
    assert sentence(findings(rising, [STRENGTH]), "edge") == (
        "Best lies at the upper edge of the searched range of augment.strength (2.95, searched from 0 to 3): "
        "better ones may lie beyond. Widen sweep.space.augment.strength if it can be."
    )
    falling = along(STRENGTH, [0.1, 0.8, 1.5, 2.2, 2.95], [0.7, 0.65, 0.6, 0.55, 0.5])
    assert "lower edge" in sentence(findings(falling, [STRENGTH]), "edge")


@pytest.mark.parametrize(
    ("places", "scores"),
    [
        ([0.1, 0.8, 1.5, 2.2, 2.95], [0.5, 0.6, 0.7, 0.6, 0.5]),  # in the middle
        ([0.1, 0.8, 1.5, 2.2, 2.95], [0.7, 0.701, 0.699, 0.7, 0.702]),  # everywhere as good
        ([0.1, 1.5, 2.5, 2.6, 2.95], [0.68, 0.69, 0.4, 0.4, 0.71]),  # alone among low ones
        ([0.1, 1.5, 2.95], [0.5, 0.6, 0.7]),  # too few
    ],
)
def test_no_edge_is_claimed_without_reason(places: list[float], scores: list[float]) -> None:
    assert not [each for each in findings(along(STRENGTH, places, scores), [STRENGTH]) if "edge" in each]


def test_what_matters_is_told_with_how_far_it_can_be_told() -> None:
    told = sentence(findings(random_sweep(BOTH, 40, hill), BOTH), "random forest")
    assert told.startswith("objective.temperature matters most: a random forest predicts ")
    assert (
        "of the differences between 40 scores it had not seen, which rests on objective.temperature (" in told
    )
    noise = findings(random_sweep(BOTH, 20, lambda **_: 0.5), BOTH)
    assert sentence(noise, "random forest").startswith("Which parameter matters most cannot be told: ")
    few = findings(random_sweep(BOTH, 5, hill), BOTH)
    assert "Which parameter matters most cannot be told: it takes 8 finished trials, and there are 5." in few


def test_stopped_trials_are_told_with_the_training_that_was_spent() -> None:
    stopped = [
        trial(number, values(0.1 + number / 100), status=Status.STOPPED, readings=2) for number in range(3)
    ]
    sweep = [*stopped, trial(3, values(0.2), 0.7)]
    assert sentence(findings(sweep, BOTH), "stopped").startswith(
        "3 of 4 trials were stopped early, by their readings: 44 % of all training steps"  # (3 x 2/8 + 1) / 4
    )


def test_readings_that_mislead_are_told() -> None:
    stopped = trial(0, values(0.1), status=Status.STOPPED, readings=2)
    done = [trial(number, values(0.2), score) for number, score in ((1, 0.5), (2, 0.6), (3, 0.7))]
    agreeing = sentence(findings([stopped, *done], BOTH), "by their readings")
    assert agreeing.endswith("count in nothing above.")
    last = done[0].readings[-1].model_copy(update={"score": 0.65})
    done[0] = done[0].model_copy(update={"readings": (*done[0].readings[:-1], last)})
    misled = sentence(findings([stopped, *done], BOTH), "by their readings")
    assert misled.endswith("Of 3 pairs of finished trials, last readings rank 1 against their scores.")


def test_a_value_of_which_no_trial_finished_is_told() -> None:
    stopped = [
        trial(number, values(0.1 + number / 100, 0.0), status=Status.STOPPED, readings=1)
        for number in range(2)
    ]
    finished = [trial(2, values(0.1, 1.0), 0.7), trial(3, values(0.2, 1.0), 0.6)]
    told = "augment.strength: 0 has no score, since both of its trials were stopped early."
    assert told in findings([*stopped, *finished], BOTH)
    third = trial(4, values(0.3, 0.0), 0.5)
    assert not [each for each in findings([*stopped, *finished, third], BOTH) if "has no score" in each]


def test_where_trials_diverged_is_told_unless_it_may_be_an_accident() -> None:
    fine = [trial(number, values(0.06 + number / 100), 0.6) for number in range(14)]
    low = [
        trial(20 + n, values(temperature), 0.0, Status.DIVERGED) for n, temperature in enumerate((0.03, 0.05))
    ]
    assert "2 diverged, both at temperature 0.05 or lower, where no other trial was." in findings(
        [*fine, *low], BOTH
    )
    third = trial(30, values(0.055), 0.0, Status.DIVERGED)
    company = trial(31, values(0.051), 0.6)
    assert "3 diverged, all of them at temperature 0.055 or lower, as was 1 of 15 others." in findings(
        [*fine, *low, third, company], BOTH
    )
    assert "2 diverged (trials 20 and 21)." in findings(
        [*fine[:3], *low], BOTH
    )  # of 5 trials that says nothing
    assert "1 diverged (trial 20)." in findings([*fine, low[0]], BOTH)


def test_a_word_at_which_trials_diverged_is_told() -> None:
    names = ["resnet"] * 8 + ["vgg_like"] * 8
    fine = along(ENCODER, names, [0.6 + n / 100 for n in range(16)])
    bad = [trial(20 + n, {"encoder.name": "crnn"}, 0.0, Status.DIVERGED) for n in range(3)]
    told = findings([*fine, *bad], [ENCODER])
    assert "3 diverged, all of them at encoder crnn, where no other trial was." in told


def test_failures_are_told_by_their_reasons() -> None:
    traceback = 'Traceback (most recent call last):\n  File "x.py", line 3\nMemoryError: 20 GiB'
    failed = [trial(number, values(0.1), status=Status.FAILED, error=traceback) for number in (1, 2)]
    other = trial(3, values(0.1), status=Status.FAILED, error="no such folder")
    told = findings([trial(0, values(0.1), 0.7), *failed, other], BOTH)
    assert "2 failed (trials 1 and 2): MemoryError: 20 GiB" in told
    assert "1 failed (trial 3): no such folder" in told


def test_seeds_tell_how_much_is_chance() -> None:
    scores = {0.1: (0.70, 0.68, 0.69), 0.2: (0.71, 0.60, 0.61)}
    sweep = [
        trial(10 * n + seed, {"objective.temperature": temperature, "seed": seed}, score)
        for n, (temperature, of) in enumerate(scores.items())
        for seed, score in enumerate(of)
    ]
    told = findings(sweep, [Parameter("objective.temperature", values=(0.1, 0.2)), SEED])
    assert told[0].startswith("Best: trial 10, 71.0 %")
    assert told[1] == (
        "Trials that differ in the seed alone lie up to 11 points apart (6 trials at 2 settings): "
        "smaller differences may be chance."
    )
    assert told[2] == "Best by the mean over seeds: temperature 0.1, 69.0 % (3 seeds, 68.0 % to 70.0 %)."
    assert "sweep.space.seed={name: grid, values: [0, 1]}" in findings(random_sweep(BOTH, 4, hill), BOTH)[1]


def test_a_population_is_told_that_its_values_changed() -> None:
    changed = ({"step": 0, "values": values(0.3)}, {"step": 100, "values": values(0.1)})
    sweep = [trial(0, values(0.1), 0.7, lineage=changed), trial(1, values(0.2), 0.6, lineage=changed[:1])]
    assert sentence(findings(sweep, BOTH), "population").endswith("changed those of 1 trial as it trained.")


@pytest.mark.parametrize(
    ("sweep", "first"),
    [
        ([], "No trial has begun."),
        (
            [
                trial(0, values(0.1), status="waiting", readings=0),
                trial(1, values(0.2), status="stopped", readings=1),
            ],
            "No trial has finished, so there is no best one: 1 waiting and 1 stopped early.",
        ),
        (
            [trial(3, values(0.1), 0.7)],
            "Best: trial 3, 70.0 %, temperature 0.1, strength 1. It is the only one",
        ),
        (
            [trial(n, values(0.1 + n / 10), 0.5) for n in range(5)],
            "Best: trial 0, 50.0 %, temperature 0.1, strength 1. All 5",
        ),
    ],
)
def test_little_is_said_of_little(sweep: list[Trial], first: str) -> None:
    told = findings(sweep, BOTH)
    assert told[0].startswith(first)
    assert not [each for each in told if "edge" in each or "matters most:" in each]


def test_what_has_not_ended_is_no_training_saved() -> None:
    running = trial(1, values(0.2), status=Status.RUNNING, readings=1)
    stopped = trial(2, values(0.3), status=Status.STOPPED, readings=4)
    told = findings([trial(0, values(0.1), 0.7), running, stopped], BOTH)
    assert sentence(told, "stopped early").startswith(
        "1 of 2 trials was stopped early, by their readings: 75 % of all training steps"
    )
    assert "The sweep is not over: 1 running." in told
    assert running.readings[-1].step == STEPS // 8
