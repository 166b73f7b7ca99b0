import itertools
import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.stats import qmc

from echopair.pipeline.errors import UserError
from echopair.tuning.distributions import Choices, Distribution, Grid, Integers, LogUniform, Uniform
from echopair.tuning.sampler import (
    GridSearchConfig,
    OptunaSearchConfig,
    RandomSearchConfig,
    Sampler,
    SearchConfig,
    build_sampler,
)
from echopair.tuning.trials import IntermediateScore, Status, Trial
from tests.tuning.spaces import contains

SPACE: dict[str, Distribution] = {
    "objective.temperature": LogUniform(low=0.05, high=1.0),
    "augment.strength": Uniform(low=0.0, high=2.0),
    "augment.policy": Choices(values=({"name": "all"}, {"name": "random", "operations": 3})),
    "pretrain.batch_pairs": Integers(low=32, high=256, log=True),
}
SEEDS = Grid(values=(0, 1, 2))
Score = Callable[[dict[str, Any]], float]


def score_of(values: dict[str, Any]) -> float:
    """Best at a temperature of 0.3, a strength of 1.4 and the random policy."""
    away = (math.log(values["objective.temperature"] / 0.3)) ** 2 + (values["augment.strength"] - 1.4) ** 2
    return math.exp(-away) * (1 if values["augment.policy"]["name"] == "random" else 0.8)


def finished(number: int, values: dict[str, Any], score: float) -> Trial:
    return Trial(number=number, values=values, status=Status.FINISHED, score=score)


def stopped(number: int, values: dict[str, Any], scores: Sequence[float]) -> Trial:
    readings = tuple(
        IntermediateScore(milestone=milestone, step=milestone, score=score, seconds=0)
        for milestone, score in enumerate(scores, start=1)
    )
    return Trial(number=number, values=values, status=Status.STOPPED, intermediate_scores=readings)


def run(sampler: Sampler, score: Score = score_of, trials: int | None = None) -> list[Trial]:
    """Trials one after the other, each proposed from those before."""
    done: list[Trial] = []
    for number in range(sampler.total if trials is None else trials):
        values = sampler.propose(number, done)
        done.append(finished(number, values, score(values)))
    return done


def all_of(sampler: Sampler) -> list[dict[str, Any]]:
    return [sampler.propose(number) for number in range(sampler.total)]


def different(values: Sequence[dict[str, Any]]) -> int:
    return len({repr(sorted(one.items())) for one in values})


def test_a_grid_is_every_combination_once() -> None:
    space: dict[str, Distribution] = {
        "b": Uniform(low=0, high=1, points=3),
        "a": Choices(values=("x", [1, 2])),
        "c": Grid(values=(5, 6)),
    }
    sampler = build_sampler(space, GridSearchConfig(), seed=0)
    wanted = itertools.product(["x", [1, 2]], [0, 0.5, 1], [5, 6])
    combinations = [dict(zip("abc", values, strict=True)) for values in wanted]
    assert sorted(all_of(sampler), key=repr) == sorted(combinations, key=repr)
    with pytest.raises(ValueError, match=r"there is no trial 12: the sweep has 12"):
        sampler.propose(12)


def test_even_the_first_quarter_of_a_grid_spreads_over_all_of_it() -> None:
    values = tuple(range(4))
    space: dict[str, Distribution] = {"a": Choices(values=values), "b": Choices(values=values)}
    for seed in range(5):
        sampler = build_sampler(space, GridSearchConfig(), seed)
        first = [sampler.propose(number) for number in range(4)]
        assert {one["a"] for one in first} == set(values)
        assert {one["b"] for one in first} == set(values)


def test_a_grid_too_large_to_try_is_refused() -> None:
    space: dict[str, Distribution] = {key: Choices(values=tuple(range(101))) for key in "ab"}
    with pytest.raises(
        UserError, match=r"10,201 combinations, more than the 10,000 .* sweep\.search\.name=random"
    ):
        build_sampler(space, GridSearchConfig(), seed=0)


def test_a_grid_of_a_range_needs_points() -> None:
    with pytest.raises(
        UserError, match=r"sweep\.space\.augment\.strength: a grid search needs points, as points: 4"
    ):
        build_sampler({"augment.strength": SPACE["augment.strength"]}, GridSearchConfig(), seed=0)


@pytest.mark.parametrize(
    "config", [RandomSearchConfig(trials=12), OptunaSearchConfig(trials=12, startup_trials=4)]
)
def test_equal_seeds_propose_equal_trials_and_others_do_not(config: SearchConfig) -> None:
    trials = run(build_sampler(SPACE, config, seed=3))
    reordered = dict(reversed(list(SPACE.items())))
    assert run(build_sampler(reordered, config, seed=3)) == trials
    assert different([trial.values for trial in trials]) == 12
    other = run(build_sampler(SPACE, config, seed=4))
    assert not any(one.values == another.values for one, another in zip(trials, other, strict=True))


@pytest.mark.parametrize(
    "config", [RandomSearchConfig(trials=32), OptunaSearchConfig(trials=32, startup_trials=4)]
)
def test_a_sweep_that_goes_on_proposes_what_it_would_have_proposed(config: SearchConfig) -> None:
    trials = run(build_sampler(SPACE, config, seed=3))
    sampler = build_sampler(SPACE, config, seed=3)
    assert sampler.propose(31, trials[:31]) == trials[31].values
    assert sampler.propose(30, trials[29::-1]) == trials[30].values  # in whichever order they ended
    assert sampler.propose(2, trials[:2]) == trials[2].values
    assert sampler.propose(7, trials[:7]) == trials[7].values


def test_sampler_lie_in_their_domains_and_survive_json() -> None:
    for trial in run(build_sampler(SPACE, OptunaSearchConfig(trials=16, startup_trials=8), seed=0)):
        assert all(contains(SPACE[key], value) for key, value in trial.values.items())
        assert Trial.model_validate_json(trial.model_dump_json()) == trial
        assert {type(value) for value in trial.values.values()} == {float, dict, int}
        assert all(
            value == float(f"{value:.6g}") for value in trial.values.values() if isinstance(value, float)
        )


def test_sixteen_points_cover_a_space_more_evenly_than_independent_draws() -> None:
    space: dict[str, Distribution] = {key: Uniform(low=0, high=1) for key in "abc"}
    generator = np.random.default_rng(0)
    drawn = np.mean([qmc.discrepancy(generator.random((16, 3))) for _ in range(50)])
    for seed in range(10):
        points = all_of(build_sampler(space, RandomSearchConfig(trials=16), seed))
        assert qmc.discrepancy([list(point.values()) for point in points]) < drawn / 2


def test_the_first_eight_points_have_each_of_four_choices_twice() -> None:
    space: dict[str, Distribution] = {
        "a": Choices(values=("w", "x", "y", "z")),
        "b": LogUniform(low=0.1, high=10),
    }
    points = all_of(build_sampler(space, RandomSearchConfig(trials=8), seed=1))
    assert sorted(point["a"] for point in points) == list("wwxxyyzz")
    assert sum(point["b"] < 1 for point in points) == 4


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_no_point_of_a_small_space_comes_twice(choices: int, width: int, trials: int, seed: int) -> None:
    space: dict[str, Distribution] = {
        "a": Choices(values=tuple(range(choices))),
        "b": Integers(low=1, high=1 + width, log=True),
    }
    sampler = build_sampler(space, RandomSearchConfig(trials=trials), seed)
    size = choices * (width + 1)
    assert sampler.total == different(all_of(sampler)) == min(size, trials)


def test_the_rarest_points_of_a_small_space_are_proposed_as_well() -> None:
    space: dict[str, Distribution] = {key: Integers(low=1, high=12, log=True) for key in "abc"}
    sampler = build_sampler(space, RandomSearchConfig(trials=2000), seed=0)
    assert sampler.total == different(all_of(sampler)) == 12**3


@pytest.mark.parametrize(
    "config", [RandomSearchConfig(trials=5), OptunaSearchConfig(trials=5, startup_trials=2)]
)
def test_each_point_is_tried_with_every_combination_of_grid_values_before_the_next(
    config: SearchConfig,
) -> None:
    space = {**SPACE, "seed": SEEDS, "encoder.name": Grid(values=("resnet", "crnn"))}
    sampler = build_sampler(space, config, seed=0)
    assert sampler.total == 30
    values = [trial.values for trial in run(sampler)]
    for first in range(0, 30, 6):
        crossed = [(one["encoder.name"], one["seed"]) for one in values[first : first + 6]]
        assert crossed == list(itertools.product(["resnet", "crnn"], [0, 1, 2]))
        assert different([{key: one[key] for key in SPACE} for one in values[first : first + 6]]) == 1
    assert different(values) == 30


@pytest.mark.parametrize("config", [RandomSearchConfig(), OptunaSearchConfig()])
def test_a_space_of_grid_domains_alone_is_tried_once(config: SearchConfig) -> None:
    sampler = build_sampler({"seed": SEEDS}, config, seed=0)
    assert [trial.values for trial in run(sampler, lambda _: 0.5)] == [
        {"seed": 0},
        {"seed": 1},
        {"seed": 2},
    ]


def test_optuna_begins_as_random_and_then_finds_the_optimum() -> None:
    late, late_by_chance = [], []
    for seed in range(3):
        by_chance = run(build_sampler(SPACE, RandomSearchConfig(trials=40), seed))
        found = run(build_sampler(SPACE, OptunaSearchConfig(trials=40, startup_trials=8), seed))
        assert found[:8] == by_chance[:8]
        assert found[8] != by_chance[8]
        late += [score_of(trial.values) for trial in found[20:]]
        late_by_chance += [score_of(trial.values) for trial in by_chance[20:]]
    assert np.mean(late) > 1.7 * np.mean(late_by_chance)


def test_optuna_waits_for_scores_and_not_for_trials() -> None:
    sequence = all_of(build_sampler(SPACE, RandomSearchConfig(trials=16), seed=0))
    sampler = build_sampler(SPACE, OptunaSearchConfig(trials=16, startup_trials=4), seed=0)
    running = [Trial(number=number, values=sequence[number], status=Status.RUNNING) for number in range(10)]
    assert sampler.propose(10, running) == sequence[10]
    failed = [trial.model_copy(update={"status": Status.FAILED}) for trial in running]
    assert sampler.propose(10, failed) == sequence[10]
    ended = [finished(trial.number, trial.values, score_of(trial.values)) for trial in running[:4]]
    assert sampler.propose(10, [*ended, *running[4:]]) != sequence[10]


def test_optuna_begins_no_trial_twice_however_good_it_was() -> None:
    space: dict[str, Distribution] = {"a": Integers(low=1, high=5), "b": Choices(values=("x", "y", "z"))}
    sampler = build_sampler(space, OptunaSearchConfig(trials=20, startup_trials=3), seed=0)
    trials = run(sampler, lambda values: values["a"] / 5)
    assert len(trials) == different([trial.values for trial in trials]) == 15


def spread(sampler: Sampler, number: int, told: Sequence[Trial]) -> float:
    return float(sampler.propose(number, told)["a"])


def test_what_is_running_is_kept_away_from() -> None:
    space: dict[str, Distribution] = {"a": Uniform(low=0, high=1)}
    done = [finished(number, {"a": number / 19}, 1 - abs(number / 19 - 0.5)) for number in range(20)]
    beside, alone = [], []
    for seed in range(20):
        sampler = build_sampler(space, OptunaSearchConfig(trials=64), seed)
        crowd = [
            Trial(number=30 + n, values={"a": 0.5 + n / 1000}, status=Status.RUNNING) for n in range(-10, 10)
        ]
        alone.append(abs(spread(sampler, 50, done) - 0.5))
        beside.append(abs(spread(sampler, 50, [*done, *crowd]) - 0.5))
    assert np.mean(beside) > np.mean(alone) + 0.02


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (
            lambda number, values: finished(number, values, 0.2),
            lambda number, values: stopped(number, values, [0.9]),
        ),
        (
            lambda number, values: stopped(number, values, [0.1, 0.2]),
            lambda number, values: stopped(number, values, [0.9]),
        ),
        (
            lambda number, values: stopped(number, values, [0.3]),
            lambda number, values: stopped(number, values, [0.2]),
        ),
        (
            lambda number, values: stopped(number, values, [0.1]),
            lambda number, values: Trial(number=number, values=values, status=Status.DIVERGED, score=0),
        ),
    ],
    ids=["finished over stopped", "later over earlier", "higher over lower", "stopped over diverged"],
)
def test_optuna_ranks_what_ended_early(
    good: Callable[[int, dict[str, Any]], Trial], bad: Callable[[int, dict[str, Any]], Trial]
) -> None:
    draw = random.Random(0)
    low = [good(number, {"a": draw.uniform(0, 0.2)}) for number in range(4)]
    high = [bad(number, {"a": draw.uniform(0.8, 1)}) for number in range(4, 30)]
    sampler = [
        build_sampler({"a": Uniform(low=0, high=1)}, OptunaSearchConfig(trials=64), seed)
        for seed in range(10)
    ]
    assert np.mean([spread(one, 40, [*low, *high]) for one in sampler]) < 0.4


def test_optuna_says_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.INFO):
        run(build_sampler(SPACE, OptunaSearchConfig(trials=10), seed=0))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "bayes"}, r"'grid', 'random', 'optuna'"),
        ({"name": "random", "trials": 0}, r"greater than or equal to 1"),
        ({"name": "optuna", "startup_trials": 0}, r"greater than or equal to 1"),
        ({"name": "grid", "trials": 3}, r"not permitted"),
    ],
)
def test_searches_that_there_are_not(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(SearchConfig).validate_python(config)
