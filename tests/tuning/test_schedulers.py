"""Schedulers: what they decide, against what the papers say."""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler

from echopair.models.methods import SimCLRConfig
from echopair.pipeline.errors import UserError
from echopair.tuning.asha import Asha
from echopair.tuning.distributions import Choices, Distribution, Integers, LogUniform, Uniform
from echopair.tuning.population import Exploit, Population, perturbed
from echopair.tuning.schedulers import (
    NUMBER,
    ORIGIN,
    VALUES,
    AshaConfig,
    PbtConfig,
    SchedulerConfig,
    build_scheduler,
    check_scheduler,
)
from echopair.tuning.trials import IntermediateScore, Status, Trial
from tests.tuning.spaces import contains

RATE = "pretrain.learning_rate"
SPACE: dict[str, Distribution] = {
    RATE: LogUniform(low=0.01, high=0.3),
    "augment.strength": Uniform(low=0.0, high=1.5),
    "augment.operations": Integers(low=1, high=6),
    "objective.symmetric": Choices(values=("yes", "no", "both")),
}
MILESTONES = 5
STEPS_PER_MILESTONE = 10


def reading(milestone: int, score: float) -> IntermediateScore:
    return IntermediateScore(
        milestone=milestone, step=STEPS_PER_MILESTONE * milestone, score=score, seconds=1
    )


def global_generators() -> tuple[str, Any]:
    """What a draw from either would change."""
    return str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002


# The models and what they refuse


@pytest.mark.parametrize("name", ["fifo", "asha", "pbt"])
def test_a_scheduler_is_chosen_by_its_name_alone(name: str) -> None:
    config: SchedulerConfig = TypeAdapter(SchedulerConfig).validate_python({"name": name})
    assert config.name == name
    check_scheduler(config, MILESTONES, 4, SPACE, SimCLRConfig())
    built = build_scheduler(config, SPACE, MILESTONES, 4, seed=0)
    assert isinstance(built, TrialScheduler)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "asha", "reduction_factor": 1},
        {"name": "asha", "interval": 2},
        {"name": "pbt", "quantile_fraction": 0.6},
        {"name": "pbt", "perturbation_factors": [0]},
        {"name": "pbt", "perturbation_factors": []},
        {"name": "median"},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SchedulerConfig).validate_python(settings)


@pytest.mark.parametrize(
    ("config", "milestones", "trials", "space", "message"),
    [
        (AshaConfig(), 1, 9, SPACE, "set sweep.milestones=2 or more"),
        (AshaConfig(first_milestone=5), 5, 9, SPACE, "sweep.scheduler.first_milestone=5"),
        (PbtConfig(interval=1), 1, 9, SPACE, "set sweep.milestones=2 or more"),
        (PbtConfig(interval=3), 3, 9, SPACE, "or lower sweep.scheduler.interval"),
        (PbtConfig(), 9, 3, SPACE, "raise sweep.search.trials"),
        (PbtConfig(), 9, 4, {"encoder.width": Integers(low=1, high=2)}, "encoder.width"),
        (PbtConfig(), 9, 4, {"objective.name": Choices(values=("a", "b"))}, "sweep.scheduler.name=asha"),
        (
            PbtConfig(),
            9,
            4,
            {"augment.gain": Choices(values=({"a": 1}, {"a": 2}))},
            "keys below augment.gain",
        ),
    ],
)
def test_a_scheduler_that_could_not_work_is_refused_with_the_key_to_change(
    config: SchedulerConfig, milestones: int, trials: int, space: Mapping[str, Distribution], message: str
) -> None:
    with pytest.raises(UserError) as refusal:
        check_scheduler(config, milestones, trials, space, SimCLRConfig())
    assert message in str(refusal.value)


# Successive halving


def ask(scheduler: TrialScheduler, trial: RayTrial, milestone: int, score: float) -> bool:
    """Whether a trial goes on after a reading."""
    result = {"milestone": milestone, "intermediate_score": score, "step": milestone}
    return bool(scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE)


def ray_trials(count: int) -> list[RayTrial]:
    return [RayTrial("", config={NUMBER: number}, stub=True) for number in range(count)]


def quantile(values: Sequence[float], share: float) -> float:
    """With as much of the next value as the place lies between two."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def arrivals(count: int, generator: random.Random) -> list[tuple[int, int, float]]:
    """Readings of trials that train at once: (trial, milestone, score), rising milestones for each."""
    turns = [number for number in range(count) for _ in range(MILESTONES)]
    generator.shuffle(turns)
    done = [0] * count
    heard = []
    for number in turns:
        done[number] += 1
        heard.append((number, done[number], generator.random()))
    return heard


@pytest.mark.parametrize(("factor", "first"), [(2, 1), (3, 1), (2.5, 1), (1.3, 2), (4, 3)])
def test_a_trial_goes_on_where_it_reaches_the_quantile_of_those_before_it(factor: float, first: int) -> None:
    for seed in range(20):
        config = AshaConfig(reduction_factor=factor, first_milestone=first)
        scheduler = Asha(config, MILESTONES)
        trials = ray_trials(12)
        rungs = {math.ceil(first * factor**power) for power in range(20)} & set(range(MILESTONES))
        at_rung: dict[int, list[float]] = {rung: [] for rung in rungs}
        stopped = set()
        for number, milestone, score in arrivals(12, random.Random(seed)):
            if number in stopped:
                continue
            before = at_rung.get(milestone, [])
            expected = not before or score >= quantile(before, 1 - 1 / factor)
            assert ask(scheduler, trials[number], milestone, score) == expected
            if milestone in rungs:
                before.append(score)
            if not expected:
                stopped.add(number)
        assert stopped


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_whom_the_paper_promotes_on_arrival_goes_on_and_about_one_in_the_factor_does(factor: int) -> None:
    count = 600
    scheduler = Asha(AshaConfig(reduction_factor=factor), MILESTONES)
    generator = random.Random(factor)
    heard: list[float] = []
    went_on = 0
    for trial in ray_trials(count):
        score = generator.random()
        heard.append(score)
        promotable = sorted(heard, reverse=True)[: len(heard) // factor]  # algorithm 2, line 17
        goes_on = ask(scheduler, trial, 1, score)
        went_on += goes_on
        assert goes_on or score not in promotable
    assert went_on / count == pytest.approx(1 / factor, abs=0.05)


def test_a_sweep_that_goes_on_decides_as_one_that_was_never_killed() -> None:
    config = AshaConfig(reduction_factor=2)
    for seed in range(20):
        heard = arrivals(10, random.Random(seed))
        whole = Asha(config, MILESTONES)
        decisions = []
        records: dict[int, list[IntermediateScore]] = {number: [] for number in range(10)}
        stopped = set()
        trials = ray_trials(10)
        killed_after = random.Random(seed).randrange(len(heard))
        for event, (number, milestone, score) in enumerate(heard):
            if number not in stopped:
                goes_on = ask(whole, trials[number], milestone, score)
                stopped |= set() if goes_on else {number}
                if event < killed_after:
                    records[number].append(reading(milestone, score))
                else:
                    decisions.append((number, milestone, score, goes_on))
        history = [
            Trial(number=number, values={}, intermediate_scores=tuple(records[number])) for number in records
        ]
        resumed = Asha(config, MILESTONES, random.Random(seed).sample(history, len(history)))
        trials = ray_trials(10)
        for number, milestone, score, goes_on in decisions:
            # A trial that is begun again says all it said before, and nothing comes of it.
            assert all(ask(resumed, trials[number], past.milestone, past.score) for past in records[number])
            assert ask(resumed, trials[number], milestone, score) == goes_on


def test_a_crashed_trial_that_reports_again_is_judged_once() -> None:
    scheduler = Asha(AshaConfig(reduction_factor=1.2), MILESTONES)  # several rungs lie between two milestones
    trials = ray_trials(6)
    for milestone in (1, 2, 3):
        assert all(
            ask(scheduler, trial, milestone, 0.1 * place) for place, trial in enumerate(trials, start=1)
        )
    assert all(ask(scheduler, trials[0], milestone, 0.0) for milestone in (1, 2, 1, 2, 3))
    # 0.183 is asked for; had the second report of 0.0 replaced the first of 0.1, 0.167 were.
    assert not ask(scheduler, ray_trials(7)[-1], 1, 0.175)


def test_what_is_no_number_is_the_worst_reading() -> None:
    scheduler = Asha(AshaConfig(reduction_factor=2), MILESTONES)
    first, second, third, fourth = ray_trials(4)
    assert ask(scheduler, first, 1, 0.2)
    assert not ask(scheduler, second, 1, math.nan)
    assert ask(scheduler, third, 1, 0.1)  # the median of 0.2 and nothing
    assert not ask(scheduler, fourth, 1, 0.05)


def test_no_trial_is_stopped_at_the_last_milestone_nor_judged_by_its_score_there() -> None:
    scheduler = Asha(AshaConfig(reduction_factor=2), 4)
    good, bad, later = ray_trials(3)
    for milestone in range(1, 5):
        assert ask(scheduler, good, milestone, 0.9)
    assert ask(scheduler, bad, 4, 0.0)  # it diverged
    assert not ask(scheduler, later, 2, 0.8)


def test_successive_halving_leaves_the_global_generators_alone() -> None:
    before = global_generators()
    scheduler = Asha(AshaConfig(), MILESTONES)
    ask(scheduler, ray_trials(2)[0], 1, 0.5)
    assert global_generators() == before


# Populations: what they decide

POPULATION, SEED = 5, 5  # with this seed one member copies twice
PBT = PbtConfig()


def speed(values: Mapping[str, Any]) -> float:
    """How fast a toy training grows."""
    return float(values[RATE] * (2 - values["augment.strength"]) / values["augment.operations"])


def toy_training(config: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """A training that can be continued: a number grows towards 1, the faster the better its values.

    It keeps its state below `folder`, whoever runs it, and reports again what it reported before.
    """
    own = folder / str(config[NUMBER])
    own.mkdir(parents=True, exist_ok=True)
    values = config[VALUES]
    state = {"milestone": 0, "grown": 0.0, "from": 0, "lineage": [{"step": 0, "values": values}], "told": []}
    if (own / "state.json").is_file():
        state = json.loads((own / "state.json").read_text())
    origin = config.get(ORIGIN)
    if origin and state["from"] < origin["milestone"]:
        copied = json.loads((folder / str(origin["donor"]) / f"{origin['milestone']}.json").read_text())
        assert copied["lineage"] == origin["lineage"]
        assert origin["step"] == STEPS_PER_MILESTONE * copied["milestone"]
        before = {key: value for change in copied["lineage"] for key, value in change["values"].items()}
        changed = {key: value for key, value in values.items() if value != before[key]}
        lineage = copied["lineage"] + ([{"step": origin["step"], "values": changed}] if changed else [])
        state = {**copied, "from": origin["milestone"], "lineage": lineage, "told": []}
    for told in state["told"]:
        yield {**told, ORIGIN: state["from"]}
    for milestone in range(state["milestone"] + 1, MILESTONES + 1):
        state["grown"] += speed(values) * (1 - state["grown"])
        state["milestone"] = milestone
        step = STEPS_PER_MILESTONE * milestone
        state["told"].append({"milestone": milestone, "intermediate_score": state["grown"], "step": step})
        for name in ("state", milestone):
            (own / f"{name}.json").write_text(json.dumps(state))
        yield {**state["told"][-1], ORIGIN: state["from"]}
    yield {"milestone": MILESTONES, "intermediate_score": state["grown"], "score": state["grown"]}


def outcome(folder: Path) -> dict[int, tuple[float, list[dict[str, Any]]]]:
    """What the members became, and how."""
    states = {int(file.parent.name): json.loads(file.read_text()) for file in folder.glob("*/state.json")}
    return {number: (state["grown"], state["lineage"]) for number, state in sorted(states.items())}


def first_values(seed: int = 0, count: int = POPULATION) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    return [
        {key: distribution.at(generator.random()) for key, distribution in SPACE.items()}
        for _ in range(count)
    ]


class OneProcess:
    """A population in one process: whose turn it is, is drawn; it can be killed after any report.

    Args:
        folder: of the trainings.
        seed: of the population.
        turns: draws whose turn it is.
        history: as a sweep's state holds it.
    """

    def __init__(self, folder: Path, seed: int, turns: random.Random, history: Sequence[Trial] = ()) -> None:
        self.state = {trial.number: trial for trial in history} or {
            number: Trial(number=number, values=values) for number, values in enumerate(first_values())
        }
        self.population = Population(PBT, SPACE, MILESTONES, POPULATION, seed, list(self.state.values()))
        self._folder, self._turns = folder, turns
        self._running: dict[int, tuple[Exploit | None, Iterator[dict[str, Any]]]] = {}

    def run(self, reports: int = 1000) -> None:
        """Go on for so many reports, or until all ended."""
        for _ in range(reports):
            ready = [
                number
                for number, trial in self.state.items()
                if not trial.status.ended and not self.population.waits(number)
            ]
            if not ready:
                return
            self._report(self._turns.choice(ready))

    def _report(self, number: int) -> None:
        exploit = self.population.exploit_of(number)
        if number not in self._running or self._running[number][0] != exploit:
            config = {NUMBER: number, VALUES: self.state[number].values}
            if exploit is not None:
                config |= {VALUES: exploit.values, ORIGIN: asdict(exploit.origin)}
            self._running[number] = exploit, toy_training(config, self._folder)
        result = next(self._running[number][1])
        self.population.add_score(
            number, result["milestone"], result["intermediate_score"], result.get("step", 0)
        )
        self.before_last_report = self.state | {}
        self.state[number] = noted(self.state[number], result)
        if self.state[number].status.ended:
            self.population.end(number)
        self.population.advance()


def noted(trial: Trial, result: Mapping[str, Any]) -> Trial:
    """A trial with what it reported."""
    if "score" in result:
        return trial.model_copy(update={"status": Status.FINISHED, "score": result["score"]})
    last = trial.intermediate_scores[-1].milestone if trial.intermediate_scores else 0
    if result["milestone"] <= last:
        return trial
    new = reading(result["milestone"], result["intermediate_score"])
    return trial.model_copy(
        update={"status": Status.RUNNING, "intermediate_scores": (*trial.intermediate_scores, new)}
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[float, list[dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    OneProcess(folder, SEED, random.Random(0)).run()
    return outcome(folder)


def test_the_worst_go_on_from_the_best_with_values_near_theirs_or_drawn_anew() -> None:
    population = Population(PBT, SPACE, MILESTONES, POPULATION, seed=3)
    for number, values in enumerate(first_values()):
        population.begin(number, values)
    for number in range(POPULATION):
        assert not population.advance()
        population.add_score(number, 1, 0.5, 10)
        population.add_score(number, 2, [0.5, 0.1, 0.9, 0.2, 0.8][number], 20)
    exploits = population.advance()
    assert [exploit.number for exploit in exploits] == [1, 3]  # a quarter of five, rounded up
    for exploit in exploits:
        assert exploit.origin.donor in (2, 4)
        assert (exploit.origin.milestone, exploit.origin.step) == (2, 20)
        assert exploit.origin.lineage == [{"step": 0, "values": first_values()[exploit.origin.donor]}]
        assert population.exploit_of(exploit.number) == exploit
    assert not any(population.waits(number) for number in range(POPULATION))


def test_whoever_reads_no_worse_is_not_replaced() -> None:
    population = Population(PBT, SPACE, MILESTONES, 4, seed=0)
    for number, values in enumerate(first_values(count=4)):
        population.begin(number, values)
        population.add_score(number, 2, 0.5, 20)
    assert population.advance() == []
    assert not population.waits(0)


def test_members_that_ended_are_not_waited_for_and_those_to_come_are() -> None:
    population = Population(PBT, SPACE, MILESTONES, 4, seed=0)
    for number, values in enumerate(first_values(count=2)):
        population.begin(number, values)
        population.add_score(number, 2, math.nan if number else 0.5, 20)
    assert population.advance() == []
    assert population.waits(0)
    population.end(2)
    assert population.advance() == []
    population.end(3)
    assert [(exploit.number, exploit.origin.donor) for exploit in population.advance()] == [(1, 0)]


def test_the_first_score_of_a_milestone_counts() -> None:
    population = Population(PBT, SPACE, MILESTONES, 4, seed=0)
    for number, values in enumerate(first_values(count=4)):
        population.begin(number, values)
        population.add_score(number, 2, 0.1 * number, 20)
        population.add_score(number, 2, 0.9 - 0.1 * number, 20)
    assert [(exploit.number, exploit.origin.donor) for exploit in population.advance()] == [(0, 3)]


def test_whoever_came_to_a_meeting_counts_there_whatever_became_of_it() -> None:
    readings = {
        0: {1: 0.2, 2: 0.2},
        1: {},
        2: {1: 0.9, MILESTONES: 0.0},  # it diverged: the last one is its end
        3: {1: 0.5, 2: 0.9, 3: 0.9},
        4: {1: 0.1, 2: 0.1},
    }
    status = dict(enumerate([Status.RUNNING, Status.FAILED, Status.DIVERGED, Status.WAITING, Status.FAILED]))
    history = [
        Trial(
            number=number,
            values=values,
            status=status[number],
            intermediate_scores=tuple(
                reading(milestone, score) for milestone, score in readings[number].items()
            ),
        )
        for number, values in enumerate(first_values())
    ]
    population = Population(PBT, SPACE, MILESTONES, POPULATION, seed=0, history=history)
    exploits = [population.exploit_of(number) for number in range(POPULATION)]
    assert [exploit and (exploit.origin.donor, exploit.origin.step) for exploit in exploits] == [
        None,
        None,
        None,
        None,
        (3, 20),
    ]
    assert not population.waits(0)


def test_nobody_waits_or_copies_at_the_end_of_training() -> None:
    population = Population(PbtConfig(interval=3), SPACE, 6, 4, seed=0)
    for number, values in enumerate(first_values(count=4)):
        population.begin(number, values)
        for milestone in range(1, 6):
            population.add_score(number, milestone, 0.1 * number, 10 * milestone)
    assert {exploit.origin.milestone for exploit in population.advance()} == {3}
    population.add_score(0, 6, 0.0, 60)
    assert not population.waits(0)


def test_an_outcome_depends_on_the_seed_and_not_on_the_order_in_time(
    undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    before = global_generators()
    for order in range(1, 10):
        OneProcess(tmp_path / str(order), SEED, random.Random(order)).run()
        assert outcome(tmp_path / str(order)) == undisturbed
    OneProcess(tmp_path / "other", SEED + 1, random.Random(0)).run()
    assert outcome(tmp_path / "other") != undisturbed
    assert global_generators() == before


def test_an_outcome_is_the_same_wherever_the_sweep_is_killed(
    undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    for reports in range(1, 40, 2):
        folder, turns = tmp_path / str(reports), random.Random(reports)
        first = OneProcess(folder, SEED, turns)
        first.run(reports)
        # What a trial did last may be on its disk and not yet in the state.
        second = OneProcess(folder, SEED, turns, list(first.before_last_report.values()))
        second.run(reports)
        OneProcess(folder, SEED, turns, list(second.state.values())).run()
        assert outcome(folder) == undisturbed


def test_lineages_tell_whom_a_member_learned_from(undisturbed: dict[int, Any]) -> None:
    schedules = [lineage for _, lineage in undisturbed.values()]
    assert any(len(lineage) > 2 for lineage in schedules)
    for lineage in schedules:
        assert set(lineage[0]["values"]) == set(SPACE)
        assert all(earlier["step"] < later["step"] for earlier, later in pairwise(lineage))
        for change in lineage:
            assert change["step"] in (0, 20, 40)
            assert all(contains(SPACE[key], value) for key, value in change["values"].items())
    firsts = [lineage[0]["values"] for lineage in schedules]
    assert any(firsts.count(values) > 1 for values in firsts)


@pytest.mark.parametrize(
    ("distribution", "value", "factor", "expected"),
    [
        (LogUniform(low=0.1, high=1), 0.5, 1.2, 0.6),
        (LogUniform(low=0.1, high=1), 0.9, 1.2, 1.0),
        (Uniform(low=-2, high=2), -1.0, 1.2, -1.2),
        (Uniform(low=0.5, high=2), 0.6, 0.8, 0.5),
        (Integers(low=1, high=30), 10, 1.2, 12),
        (Integers(low=1, high=30), 2, 1.2, 3),
        (Integers(low=1, high=30), 2, 0.8, 1),
        (Integers(low=1, high=30), 1, 0.8, 1),
        (Choices(values=("a", "b", "c")), "b", 1.2, "c"),
        (Choices(values=("a", "b", "c")), "b", 0.8, "a"),
        (Choices(values=("a", "b", "c")), "c", 1.2, "c"),
    ],
)
def test_a_perturbed_value_is_near_the_old_one_and_in_its_domain(
    distribution: Distribution, value: Any, factor: float, expected: Any
) -> None:
    assert perturbed(distribution, value, factor) == expected


def test_values_move_away_from_the_ends_of_their_domains() -> None:
    space: dict[str, Distribution] = {
        "objective.a": Choices(values=(1, 2)),
        "objective.b": Uniform(low=0, high=1),
    }
    population = Population(PbtConfig(resample_probability=0), space, MILESTONES, 4, seed=0)
    for number in range(4):
        population.begin(number, {"objective.a": 2, "objective.b": 0.0})
        population.add_score(number, 2, 0.1 * number, 20)
    (exploit,) = population.advance()
    assert exploit.values["objective.a"] == 1
    assert exploit.values["objective.b"] > 0
