"""Population-based training on Ray Tune: deterministic, and the same when the sweep is killed and continues."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from echopair.tuning.distributions import Choices, Distribution, Grid, Integers, LogUniform, Uniform
from echopair.tuning.schedulers import (
    INTERMEDIATE_SCORE,
    MILESTONE,
    NUMBER,
    ORIGIN,
    STEP,
    VALUES,
    PbtConfig,
    comparable,
)
from echopair.tuning.trial import Origin
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

EXPLOIT_STREAM = 10  # beside those of `pipeline.training.seeding`


@dataclass(frozen=True)
class Exploit:
    """A member replaces its training by a copy of another member's, and continues with other values.

    Args:
        origin: the training that it copies.
        values: of all keys of the space, from there on.
    """

    number: int
    origin: Origin
    values: dict[str, Any]


@dataclass
class _Member:
    values: dict[str, Any]
    lineage: list[dict[str, Any]]
    scores: dict[int, tuple[float, int]] = field(default_factory=dict)  # by milestone: score, optimiser step
    exploit: Exploit | None = None  # the last one


class Population:
    """Which member copies which, and with which values: a pure function of the scores, whatever their order in time.

    Every `interval` milestones, but not at the last, the members wait for each other. Then each of the worst
    `quantile_fraction` copies one of as many best, and each of its values is either drawn anew or changed a little
    (Jaderberg et al. 2017: truncation selection, perturbation). What is drawn depends on the sweep's seed, the member's
    number and the milestone alone.

    Args:
        milestones: number of the last milestone, at which no member copies another.
        history: trials of earlier processes; what they decided is decided again.
    """

    def __init__(
        self,
        config: PbtConfig,
        space: Mapping[str, Distribution],
        milestones: int,
        trials: int,
        seed: int,
        history: Sequence[Trial] = (),
    ) -> None:
        self._config = config
        self._space = space
        self.milestones = milestones
        self._trials = trials
        self._seed = seed
        self._next = config.interval  # milestone at which the members wait for each other
        self._members: dict[int, _Member] = {}
        self._ended: set[int] = set()
        for trial in history:
            self.begin(trial.number, trial.values)
            for one in trial.intermediate_scores:
                self.add_score(trial.number, one.milestone, one.score, one.step)
            if trial.status.ended:
                self.end(trial.number)
        self.advance()

    def begin(self, number: int, values: Mapping[str, Any]) -> None:
        """Add a member with its first values, unless it is there."""
        if number not in self._members:
            own = {key: values[key] for key in self._space}
            self._members[number] = _Member(own, [{STEP: 0, "values": own}])

    def add_score(self, number: int, milestone: int, score: float, step: int) -> None:
        """Add a member's score; the first one of a milestone counts."""
        if milestone < self.milestones:
            self._members[number].scores.setdefault(milestone, (comparable(score), step))

    def end(self, number: int) -> None:
        """Wait for a member no longer."""
        self._ended.add(number)

    def waits(self, number: int) -> bool:
        """Whether a member must not train before the others have come as far."""
        return number in self._members and self._next in self._members[number].scores

    def exploit_of(self, number: int) -> Exploit | None:
        """The last exploit of a member; None before the first one."""
        return self._members[number].exploit

    def advance(self) -> list[Exploit]:
        """Let the members copy each other if all that are left wait; returns what changed."""
        exploits = []
        while self._next < self.milestones and all(
            number in self._ended or self.waits(number) for number in range(self._trials)
        ):
            exploits += self._exploits()
            self._next += self._config.interval
        return exploits

    def _exploits(self) -> list[Exploit]:
        found = {
            number: self._members[number].scores[self._next]
            for number in range(self._trials)
            if self.waits(number)
        }
        ranked = sorted(found, key=lambda number: found[number][0])
        count = min(math.ceil(len(ranked) * self._config.quantile_fraction), len(ranked) // 2)
        best = ranked[len(ranked) - count :]
        exploits = []
        for number in ranked[:count]:
            generator = np.random.default_rng([self._seed, number, self._next, EXPLOIT_STREAM])
            donor = best[generator.integers(count)]
            (score, step), own_score = found[donor], found[number][0]
            if score > own_score:
                exploits.append(self._exploit(number, donor, step, generator))
        return exploits

    def _exploit(self, number: int, donor: int, step: int, generator: np.random.Generator) -> Exploit:
        copied = self._members[donor]
        values = {
            key: self._explore(self._space[key], value, generator)
            for key, value in sorted(copied.values.items())
        }
        changed = {key: value for key, value in values.items() if value != copied.values[key]}
        member = self._members[number]
        member.exploit = Exploit(number, Origin(donor, self._next, step, copied.lineage), values)
        member.values = values
        member.lineage = [*copied.lineage, *([{STEP: step, "values": changed}] if changed else [])]
        return member.exploit

    def _explore(self, distribution: Distribution, value: Any, generator: np.random.Generator) -> Any:
        chance, share = generator.random(2).tolist()
        near = [perturbed(distribution, value, factor) for factor in self._config.perturbation_factors]
        other = [new for new in near if new != value]  # none where the value is 0, or alone
        if not other or chance < self._config.resample_probability:
            return distribution.at(share)
        return other[int(share * len(other))]


def perturbed(distribution: Distribution, value: Any, factor: float) -> Any:
    """A value near another one, within its distribution.

    Args:
        factor: multiplies numbers, whole ones by at least one up or down; listed values become the next one if it is
            above 1, else the one before. Whatever would leave the distribution stays at its end.
    """
    match distribution:
        case LogUniform() | Uniform():
            return distribution.rounded(value * factor)
        case Integers():
            step = round(value * factor) - value or (1 if factor > 1 else -1)
            return min(max(value + step, distribution.low), distribution.high)
        case Choices() | Grid():
            place = distribution.values.index(value) + (1 if factor > 1 else -1)
            return distribution.values[min(max(place, 0), len(distribution.values) - 1)]


class PopulationScheduler(FIFOScheduler):
    """Brings a population's decisions to Ray Tune, whatever the number of trials that run at once.

    A trial that has to wait is paused, which ends its process. Later its function is called again, and continues from
    the trial's own files or, after an exploit, from the donor's (see `tuning.trial.Origin`). Before it trains on, it
    reports again what it reported before, after which it may have to wait.

    Ray's PopulationBasedTraining is not used: it draws from the global generators, waits for ever for a member that
    failed, lets members copy each other when their training is finished, forgets what it knew of a trial that crashed,
    and cannot take over the scores of an earlier process.
    """

    def __init__(self, population: Population) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._population = population

    def on_trial_add(self, tune_controller: "TuneController", trial: RayTrial) -> None:
        """Add a trial, as its last exploit left it."""
        number = trial.config[NUMBER]
        self._population.begin(number, trial.config[VALUES])
        _apply(self._population.exploit_of(number), trial)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: RayTrial, result: Mapping[str, Any]
    ) -> str:
        """Pause a trial that has to wait or to copy another; the last one that the others waited for need not wait."""
        number = trial.config[NUMBER]
        if result[MILESTONE] >= self._population.milestones:
            return TrialScheduler.CONTINUE
        self._population.add_score(number, result[MILESTONE], result[INTERMEDIATE_SCORE], result[STEP])
        self._advance(tune_controller)
        exploit = self._population.exploit_of(number)
        is_outdated = exploit is not None and result[ORIGIN] != exploit.origin.milestone
        if self._population.waits(number) or is_outdated:
            return TrialScheduler.PAUSE
        return TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: "TuneController") -> RayTrial | None:
        """A trial that was paused and waits no longer, else a new one.

        Ray asks at every step, so this is also where the population learns of trials that ended, in whichever way: Ray
        does not notify its schedulers of all of them.
        """
        trials = tune_controller.get_trials()
        for trial in trials:
            if trial.is_finished():
                self._population.end(trial.config[NUMBER])
        self._advance(tune_controller)
        paused = [trial for trial in trials if trial.status == RayTrial.PAUSED]
        ready = [trial for trial in paused if not self._population.waits(trial.config[NUMBER])]
        pending = [trial for trial in trials if trial.status == RayTrial.PENDING]
        return next(iter(ready + pending), None)

    def debug_string(self) -> str:
        """What Ray prints about its scheduler."""
        return "Population-based training"

    def _advance(self, tune_controller: "TuneController") -> None:
        exploits = {exploit.number: exploit for exploit in self._population.advance()}
        if exploits:
            for trial in tune_controller.get_trials():
                _apply(exploits.get(trial.config[NUMBER]), trial)


def _apply(exploit: Exploit | None, trial: RayTrial) -> None:
    """Change the config that a trial's function is called with next."""
    if exploit is not None:
        trial.set_config({**trial.config, VALUES: exploit.values, ORIGIN: asdict(exploit.origin)})
