from collections.abc import Sequence

from echopair.tuning.report.outcomes import Outcomes, summary
from echopair.tuning.trials import Status, Trial
from tests.tuning.report.sweeps import SPACE, STRENGTH, grid_sweep, hill, random_sweep, trial

BOTH = {key: SPACE[key] for key in ("objective.temperature", "augment.strength")}


def strengths(scores: Sequence[float]) -> list[Trial]:
    return [trial(number, {"augment.strength": number / 10}, score) for number, score in enumerate(scores)]


def test_three_sentences_tell_the_best_the_differences_and_the_ends() -> None:
    best, differences, ends = summary(Outcomes(grid_sweep(), BOTH, sources=96))
    assert best == (
        "Best: trial 6 with temperature 0.22, strength 1, 65.0 ± 9.4 % "
        "(95 % interval from 96 sources of validation clips)."
    )
    assert differences.startswith(
        "Scores of the 8 finished trials are 54.5 % to 65.0 %; 3 of the other 7 scored within the interval "
        "of the best; temperature explains most of their variance ("
    )
    assert ends == (
        "12 trials: 8 finished, 3 stopped early, 1 diverged; 77 % of all training steps were done, the others saved "
        "by stopping early; 12:20 min of work in all trials."
    )


def test_without_the_number_of_clips_no_interval_is_claimed() -> None:
    best, differences, _ = summary(Outcomes(strengths([0.6, 0.7]), STRENGTH))
    assert best == "Best: trial 1 with strength 0.1, 70.0 %."
    assert differences.endswith("every setting ran once, so how far they differ by chance is not known.")


def test_repeated_seeds_show_how_far_scores_differ_by_chance() -> None:
    space = {**STRENGTH, "seed": SPACE["seed"]}
    sweep = [
        trial(2 * n + seed, {"augment.strength": strength, "seed": seed}, 0.6 + strength / 10 + 0.02 * seed)
        for n, strength in enumerate((0.0, 1.0))
        for seed in (0, 1)
    ]
    _, differences, _ = summary(Outcomes(sweep, space, sources=96))
    assert "differ in the seed alone have a standard deviation of 1.4 points (2 settings)" in differences


def test_failures_are_named_with_their_first_reason() -> None:
    failed = trial(
        2, {"augment.strength": 0.5}, status=Status.FAILED, intermediate_scores=0, error="disk is full"
    )
    *_, ends = summary(Outcomes([*strengths([0.6, 0.7]), failed], STRENGTH))
    assert ends.endswith("1 of 3 trials failed; trial 2: disk is full.")


def test_what_has_not_happened_is_not_claimed() -> None:
    assert summary(Outcomes([], STRENGTH)) == ["No trial has begun."]
    running = trial(0, {"augment.strength": 0.5}, status=Status.RUNNING, intermediate_scores=0, seconds=0.0)
    assert summary(Outcomes([running], STRENGTH))[0] == "No trial has finished, so there is no best one."
    assert len(summary(Outcomes(strengths([0.6]), STRENGTH))) == 2


def test_importance_finds_what_decides_and_needs_trials() -> None:
    outcomes = Outcomes(random_sweep(SPACE, 40, hill), SPACE)
    assert next(iter(outcomes.importance)) == "objective.temperature"
    assert sum(outcomes.importance.values()) > 0.99
    assert not Outcomes(random_sweep(SPACE, 4, hill), SPACE).importance
    assert not Outcomes(random_sweep(SPACE, 10, lambda **_: 0.5, noise=0.0), SPACE).importance
