"""Population-based training on Ray Tune: deterministic, and the same when the sweep is killed and goes on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from echopair.tuning.distributions import Choices, Distribution, Grid, Integers, LogUniform, Uniform
from echopair.tuning.schedulers import GO_ON, MILESTONE, READING, STEP, PbtConfig, comparable
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

EXPLOIT_STREAM = 10  # beside those of `pipeline.training.seeding`


@dataclass(frozen=True)
class Exploit:
    """A member leaves its training for a copy of another member's, and goes on with other values.

    Args:
        number: of the member.
        donor: number of the one it copies.
        milestone: at which the copy was made.
        step: steps that the donor had done by then.
        lineage: values that the donor was trained with, and from which step on: [{"step": 0, "values": {...}}, ...].
        values: of all keys of the space, from here on.
    """

    number: int
    donor: int
    milestone: int
    step: int
    lineage: list[dict[str, Any]]
    values: dict[str, Any]

    @property
    def go_on(self) -> dict[str, Any]:
        """Where the member goes on from, as its config holds it."""
        return {"donor": self.donor, MILESTONE: self.milestone, STEP: self.step, "lineage": self.lineage}


@dataclass
class _Member:
    values: dict[str, Any]
    lineage: list[dict[str, Any]]
    readings: dict[int, tuple[float, int]] = field(default_factory=dict)  # by milestone: reading, step
    exploit: Exploit | None = None  # the last one


class Population:
    """Who copies whom, and with which values: a pure function of the readings, whatever their order in time.

    Every `interval` milestones, but not at the last, the members wait for each other. Then each of the worst
    `quantile_fraction` copies one of as many best, and each of its values is either drawn anew from its domain or
    changed a little (Jaderberg et al. 2017: truncation selection, perturbation). What is drawn depends on the sweep's
    seed, the member's number and the milestone alone.

    Args:
        config: interval, shares, probabilities.
        space: domains by dotted key.
        readings: the last milestone, at which nobody copies any more.
        trials: size of the population.
        seed: of the sweep.
        history: trials of earlier processes; what they decided is decided again.
    """

    def __init__(
        self,
        config: PbtConfig,
        space: Mapping[str, Distribution],
        readings: int,
        trials: int,
        seed: int,
        history: Sequence[Trial] = (),
    ) -> None:
        self._config = config
        self._space = space
        self.readings = readings
        self._trials = trials
        self._seed = seed
        self._meeting = config.interval  # milestone at which the members wait for each other
        self._members: dict[int, _Member] = {}
        self._ended: set[int] = set()
        for trial in history:
            self.begin(trial.number, trial.values)
            for reading in trial.readings:
                self.read(trial.number, reading.milestone, reading.score, reading.step)
            if trial.status.ended:
                self.end(trial.number)
        self.advance()

    def begin(self, number: int, values: Mapping[str, Any]) -> None:
        """Let a member in; of one that was there before, nothing changes.

        Args:
            number: of the member.
            values: that it begins with.
        """
        if number not in self._members:
            own = {key: values[key] for key in self._space}
            self._members[number] = _Member(own, [{STEP: 0, "values": own}])

    def read(self, number: int, milestone: int, reading: float, step: int) -> None:
        """Hear a reading; the first one of a milestone counts."""
        if milestone < self.readings:
            self._members[number].readings.setdefault(milestone, (comparable(reading), step))

    def end(self, number: int) -> None:
        """Wait for a member no longer."""
        self._ended.add(number)

    def waits(self, number: int) -> bool:
        """Whether a member must not train on before the others have come as far."""
        return number in self._members and self._meeting in self._members[number].readings

    def exploit_of(self, number: int) -> Exploit | None:
        """The last exploit of a member; None before the first one."""
        return self._members[number].exploit

    def advance(self) -> list[Exploit]:
        """Let the members copy each other if all that are left have met.

        Returns:
            What changed.
        """
        exploits = []
        while self._meeting < self.readings and all(
            number in self._ended or self.waits(number) for number in range(self._trials)
        ):
            exploits += self._meet()
            self._meeting += self._config.interval
        return exploits

    def _meet(self) -> list[Exploit]:
        met = {
            number: self._members[number].readings[self._meeting]
            for number in range(self._trials)
            if self.waits(number)
        }
        ranked = sorted(met, key=lambda number: met[number][0])
        count = min(math.ceil(len(ranked) * self._config.quantile_fraction), len(ranked) // 2)
        best = ranked[len(ranked) - count :]
        exploits = []
        for number in ranked[:count]:
            generator = np.random.default_rng([self._seed, number, self._meeting, EXPLOIT_STREAM])
            donor = best[generator.integers(count)]
            (score, step), own_score = met[donor], met[number][0]
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
        member.exploit = Exploit(number, donor, self._meeting, step, copied.lineage, values)
        member.values = values
        member.lineage = [*copied.lineage, *([{STEP: step, "values": changed}] if changed else [])]
        return member.exploit

    def _explore(self, domain: Distribution, value: Any, generator: np.random.Generator) -> Any:
        chance, share = generator.random(2).tolist()
        near = [perturbed(domain, value, factor) for factor in self._config.perturbation_factors]
        other = [new for new in near if new != value]  # none where the value is 0, or alone
        if not other or chance < self._config.resample_probability:
            return domain.at(share)
        return other[int(share * len(other))]


def perturbed(domain: Distribution, value: Any, factor: float) -> Any:
    """A value near another one, within its domain.

    Args:
        domain: of both.
        value: to begin with.
        factor: multiplies numbers, whole ones by at least one up or down; listed values become the next one if it is
            above 1, else the one before. Whatever would leave the domain stays at its end.
    """
    match domain:
        case LogUniform() | Uniform():
            return domain.rounded(value * factor)
        case Integers():
            step = round(value * factor) - value or (1 if factor > 1 else -1)
            return min(max(value + step, domain.low), domain.high)
        case Choices() | Grid():
            place = domain.values.index(value) + (1 if factor > 1 else -1)
            return domain.values[min(max(place, 0), len(domain.values) - 1)]


class PopulationScheduler(FIFOScheduler):
    """Brings a population's decisions to Ray Tune, whatever the number of trials that run at once.

    A trial that has to wait is paused, which ends its function. Later the function is called again, to go on from the
    trial's own files or, once it has left them for another's, as its config says:

        {..., "go_on": {"donor": number, "milestone": m, "step": s, "lineage": [{"step": 0, "values": {...}}, ...]}}

    with the donor's files of that milestone, and from that step on the values of the config. So a member keeps what it
    had at the last two milestones at which members meet. Before it trains on, it reports again what it reported before:
    what comes of it may be that it has to wait.

    Ray's PopulationBasedTraining is not used: it draws from the global generators, waits for ever for a member that
    failed, lets members copy each other when they are through with their training, forgets what it knew of a trial
    that crashed, and cannot be told of an earlier process.

    Args:
        population: that decides.
    """

    def __init__(self, population: Population) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._population = population

    def on_trial_add(self, tune_controller: "TuneController", trial: RayTrial) -> None:
        """Let a trial in, as its last exploit left it."""
        number = int(trial.trial_id)
        self._population.begin(number, trial.config)
        _apply(self._population.exploit_of(number), trial)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: RayTrial, result: Mapping[str, Any]
    ) -> str:
        """Pause a trial that has to wait or to begin again; the last one that the others waited for need not."""
        number = int(trial.trial_id)
        if result[MILESTONE] >= self._population.readings:
            return TrialScheduler.CONTINUE
        self._population.read(number, result[MILESTONE], result[READING], result[STEP])
        self._advance(tune_controller)
        if self._population.waits(number) or self._is_outdated(number, result):
            return TrialScheduler.PAUSE
        return TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: "TuneController") -> RayTrial | None:
        """A trial that was paused and waits no longer, else a new one.

        Ray asks at every step, so this is also where the population hears of trials that ended, in whichever way: Ray
        does not tell its schedulers of all of them.
        """
        trials = tune_controller.get_trials()
        for trial in trials:
            if trial.is_finished():
                self._population.end(int(trial.trial_id))
        self._advance(tune_controller)
        paused = [trial for trial in trials if trial.status == RayTrial.PAUSED]
        ready = [trial for trial in paused if not self._population.waits(int(trial.trial_id))]
        pending = [trial for trial in trials if trial.status == RayTrial.PENDING]
        return next(iter(ready + pending), None)

    def debug_string(self) -> str:
        """What Ray prints about its scheduler."""
        return "Population-based training"

    def _advance(self, tune_controller: "TuneController") -> None:
        exploits = {exploit.number: exploit for exploit in self._population.advance()}
        if exploits:
            for trial in tune_controller.get_trials():
                _apply(exploits.get(int(trial.trial_id)), trial)

    def _is_outdated(self, number: int, result: Mapping[str, Any]) -> bool:
        """Whether a trial's function was called before its last exploit; Ray adds its config to each result."""
        exploit = self._population.exploit_of(number)
        return exploit is not None and result.get(f"config/{GO_ON}/{MILESTONE}") != exploit.milestone


def _apply(exploit: Exploit | None, trial: RayTrial) -> None:
    """Change what a trial's function is called with next."""
    if exploit is not None:
        trial.set_config({**trial.config, **exploit.values, GO_ON: exploit.go_on})
