"""Trials on Ray Tune: a population comes to the same whatever happens to it, and the state knows how trials ended."""

import math
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ray import cloudpickle, tune
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import compose
from echopair.pipeline.cores import available_cores
from echopair.pipeline.errors import UserError
from echopair.pipeline.ray_cluster import RayConfig, connect
from echopair.pipeline.run import RunResult, prepare_corpora
from echopair.tuning.asha import Asha
from echopair.tuning.context import TrialContext
from echopair.tuning.ray_trials import StateCallback, measure_steps
from echopair.tuning.resources import Resources
from echopair.tuning.schedulers import NUMBER, VALUES, AshaConfig, build_scheduler
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial
from tests.tuning import test_schedulers
from tests.tuning.states import make_state, small_settings
from tests.tuning.test_schedulers import (
    MILESTONES,
    PBT,
    POPULATION,
    SEED,
    SPACE,
    OneProcess,
    ask,
    first_values,
    noted,
    outcome,
    ray_trials,
    speed,
    toy_training,
)

TEMPERATURE = "objective.temperature"

SLOTS = 2
CRASH_FILE, DOOMED_FILE = "crash", "doomed"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with connect(RayConfig(), tmp_path_factory.mktemp("logs")):
        # Workers need the toy training alone, and not all that this file imports.
        for module in (sys.modules[__name__], test_schedulers):
            cloudpickle.register_pickle_by_value(module)
        yield
        for module in (sys.modules[__name__], test_schedulers):
            cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    OneProcess(folder, SEED, random.Random(0)).run()
    return outcome(folder)


def trainable(config: dict[str, Any], folder: Path) -> None:
    doomed, crash = folder / DOOMED_FILE, folder / CRASH_FILE
    for result in toy_training(config, folder):
        if config[NUMBER] == 1 and result["milestone"] == 3:
            if doomed.exists():
                raise RuntimeError("whatever it is, it comes again")
            if crash.exists():
                crash.unlink()
                os._exit(1)
        tune.report(result)


class Proposals(Searcher):
    """Hands Ray the trials that have not ended."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        super().__init__()
        self.waiting = [trial for trial in trials if not trial.status.ended]

    def suggest(self, trial_id: str) -> dict[str, Any]:
        trial = self.waiting.pop(0)
        return {NUMBER: trial.number, VALUES: trial.values}

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass


class Written(Callback):
    """Writes down what Ray says of trials."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.trials = {trial.number: trial for trial in trials}

    def on_trial_result(self, trial: RayTrial, result: dict[str, Any], **_: Any) -> None:
        number = trial.config[NUMBER]
        self.trials[number] = noted(self.trials[number], result)
        if result["done"]:
            self.trials[number] = self.trials[number].model_copy(update={"status": Status.STOPPED})


class UntilRead(Stopper):
    """Ends the sweep after so many readings."""

    def __init__(self, state: Written, readings: float) -> None:
        self._state, self._readings = state, readings

    def __call__(self, *_: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return sum(len(trial.intermediate_scores) for trial in self._state.trials.values()) >= self._readings


def fit(
    scheduler: TrialScheduler,
    trials: Sequence[Trial],
    folder: Path,
    until: float = math.inf,
    retries: int = 0,
) -> list[Trial]:
    """The trials as a sweep on Ray leaves them."""
    state, sampler = Written(trials), Proposals(trials)
    tune.Tuner(
        tune.with_resources(partial(trainable, folder=folder), {"cpu": max(1, available_cores() // SLOTS)}),
        tune_config=tune.TuneConfig(
            scheduler=scheduler,
            search_alg=sampler,
            num_samples=len(sampler.waiting),
            reuse_actors=True,
            time_budget_s=240,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"),
            name="sweep",
            stop=UntilRead(state, until),
            callbacks=[state],
            failure_config=tune.FailureConfig(max_failures=retries),
            verbose=0,
        ),
    ).fit()
    return list(state.trials.values())


def fit_population(folder: Path, trials: Sequence[Trial], **settings: Any) -> list[Trial]:
    scheduler = build_scheduler(PBT, SPACE, MILESTONES, POPULATION, SEED, history=trials)
    return fit(scheduler, trials, folder, **settings)


def proposed() -> list[Trial]:
    return [Trial(number=number, values=values) for number, values in enumerate(first_values())]


def test_ray_runs_a_population_to_the_same_outcome_with_fewer_slots_than_members(
    session: None, undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    trials = fit_population(tmp_path, proposed())
    assert outcome(tmp_path) == undisturbed
    assert all(trial.status == Status.FINISHED for trial in trials)


def test_a_crash_and_the_end_of_the_process_change_nothing_of_a_population(
    session: None, undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    (tmp_path / CRASH_FILE).touch()
    # By the 22nd reading all have come to the second meeting.
    trials = fit_population(tmp_path, proposed(), until=22, retries=1)
    assert not (tmp_path / CRASH_FILE).exists()
    assert not all(trial.status.ended for trial in trials)
    assert outcome(tmp_path) != undisturbed
    trials = fit_population(tmp_path, trials)
    assert outcome(tmp_path) == undisturbed
    assert all(trial.status == Status.FINISHED for trial in trials)


def test_a_member_that_fails_for_good_is_not_waited_for(session: None, tmp_path: Path) -> None:
    (tmp_path / DOOMED_FILE).touch()
    trials = fit_population(tmp_path, proposed())
    assert [trial.status == Status.FINISHED for trial in trials] == [True, False, True, True, True]
    assert all(len(trial.intermediate_scores) == MILESTONES for trial in trials if trial.number != 1)


def test_ray_stops_the_trials_that_successive_halving_stops_and_lets_the_others_report_their_score(
    session: None, tmp_path: Path
) -> None:
    heard: list[tuple[int, int, float]] = []

    class Listening(Asha):
        def on_trial_result(self, tune_controller: Any, trial: RayTrial, result: Mapping[str, Any]) -> str:
            if "score" not in result:
                heard.append((trial.config[NUMBER], result["milestone"], result["intermediate_score"]))
            return super().on_trial_result(tune_controller, trial, result)

    config = AshaConfig(reduction_factor=2)
    best_first = sorted(first_values(), key=speed, reverse=True)
    trials = [Trial(number=number, values=values) for number, values in enumerate(best_first)]
    trials = fit(Listening(config, MILESTONES), trials, tmp_path)
    reference = Asha(config, MILESTONES)
    named = ray_trials(POPULATION)
    stopped = {
        number for number, milestone, score in heard if not ask(reference, named[number], milestone, score)
    }
    assert 0 < len(stopped) < POPULATION
    for trial in trials:
        if trial.number in stopped:
            assert (trial.status, trial.score) == (Status.STOPPED, None)
        else:
            assert (trial.status, trial.score) == (Status.FINISHED, trial.intermediate_scores[-1].score)
            assert len(trial.intermediate_scores) == MILESTONES


def test_a_training_that_cannot_begin_is_reported_without_a_traceback(session: None, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "alone.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    corpus = f"corpora.recordings.root={tmp_path}"
    config = compose("folder-unlabelled", [corpus, f"work_folder={tmp_path}/work", "pretrain.minutes=0.02"])
    result = RunResult(config)
    prepare_corpora(config, check(config, Stage.PREPARE), result)
    with pytest.raises(UserError, match=r"^the pretraining clips have 1 segment"):
        measure_steps(config, [result.clips["recordings"].folder], Resources(1, 0, 1, 10**9))


# What the state knows


def test_a_member_that_copies_another_with_its_values_is_known_by_them(tmp_path: Path) -> None:
    state = make_state(tmp_path, small_settings(tmp_path))
    state.propose(Trial(number=0, values={TEMPERATURE: 0.1}))
    callback = StateCallback(state, on_change=lambda: None)
    trial = RayTrial("", config={NUMBER: 0}, stub=True)
    for milestone, temperature in ((1, 0.1), (2, 0.8)):
        lineage = [{"step": 0, "values": {TEMPERATURE: temperature}}]
        row = {
            "milestone": milestone,
            "intermediate_score": 0.5,
            "step": 2 * milestone,
            "steps": 6,
            "lineage": lineage,
        }
        callback.on_trial_result(0, [trial], trial, row)
        assert state[0].current == {TEMPERATURE: temperature}
    assert (
        TrialContext(state.settings, {}, tmp_path, None, 1).config_of(state[0]).objective.temperature == 0.8
    )


def test_why_a_trial_begins_again_is_known_until_it_reads(tmp_path: Path) -> None:
    state = make_state(tmp_path, small_settings(tmp_path))
    state.propose(Trial(number=0, values={TEMPERATURE: 0.1}))
    callback = StateCallback(state, on_change=lambda: None)
    trial = RayTrial("", config={NUMBER: 0}, stub=True)
    folder = TrialFolder(tmp_path, 0)
    folder.path.mkdir(parents=True)
    row = {"milestone": 1, "intermediate_score": 0.5, "step": 2, "steps": 6}
    reading = {**row, "lineage": [{"step": 0, "values": {TEMPERATURE: 0.1}}]}

    def begins_after(crash: str) -> None:
        callback.on_trial_start(0, [trial], trial)
        if crash:
            (folder.path / "error.txt").write_text(f"Traceback\n{crash}")
        callback.on_trial_recover(0, [trial], trial)
        assert state[0].status == Status.WAITING
        callback.on_trial_start(0, [trial], trial)

    begins_after("OSError: disk")
    kept = folder.path / "error-of-attempt-1.txt"
    assert (state[0].status, state[0].attempts) == (Status.RUNNING, 2)
    assert state[0].error == f"OSError: disk ({kept} has the rest)"
    assert kept.read_text() == "Traceback\nOSError: disk"
    callback.on_trial_result(0, [trial], trial, reading)
    assert (state[0].status, state[0].error) == (Status.RUNNING, "")

    begins_after("")
    assert state[0].error == "its process was killed"
    callback.on_trial_complete(0, [trial], trial)
    assert (state[0].status, state[0].error) == (Status.STOPPED, "")

    state.change(0, status=Status.WAITING)
    folder.refuse("it took 9.0 GB")
    begins_after("")
    assert state[0].error == "it took 9.0 GB"
