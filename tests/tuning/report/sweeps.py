"""Made-up sweeps, whose findings are known."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from echopair.tuning.distributions import Choices, Distribution, Grid, LogUniform, Uniform
from echopair.tuning.trials import IntermediateScore, Status, Trial

SPACE: dict[str, Distribution] = {
    "objective.temperature": LogUniform(low=0.02, high=1.0),
    "augment.strength": Uniform(low=0.0, high=3.0),
    "encoder.name": Choices(values=("resnet", "vgg_like", "crnn")),
    "seed": Grid(values=(0, 1, 2)),
}
STRENGTH: dict[str, Distribution] = {"augment.strength": SPACE["augment.strength"]}
STEPS = 800


def trial(
    number: int,
    values: Mapping[str, Any],
    score: float | None = None,
    status: Status | str = Status.FINISHED,
    *,
    intermediate_scores: int = 8,
    **kwargs: Any,
) -> Trial:
    """A trial with so many intermediate scores, at eighths of its training."""
    top = 0.5 if score is None else score
    scores = [
        IntermediateScore(milestone=n, step=n * STEPS // 8, score=top * n / 8, seconds=10.0 * n)
        for n in range(1, intermediate_scores + 1)
    ]
    kwargs = {"steps": STEPS, "seconds": 10.0 * intermediate_scores, "attempts": 1} | kwargs
    return Trial(
        number=number,
        values=dict(values),
        status=Status(status),
        score=score,
        intermediate_scores=tuple(scores),
        **kwargs,
    )


def random_sweep(
    space: Mapping[str, Distribution],
    trials: int,
    score: Callable[..., float],
    noise: float = 0.004,
) -> list[Trial]:
    """Finished trials at random values.

    Args:
        space: distributions by dotted key.
        trials: how many.
        score: of values, given by the last part of their keys.
        noise: standard deviation of what chance adds to it.
    """
    generator = np.random.default_rng(0)
    found = []
    for number in range(trials):
        values = {key: distribution.at(generator.random()) for key, distribution in space.items()}
        named = {key.removesuffix(".name").split(".")[-1]: value for key, value in values.items()}
        found.append(trial(number, values, score(**named) + noise * float(generator.normal())))
    return found


def grid_sweep() -> list[Trial]:
    """Three temperatures by four strengths: the best finished, the others stopped early, one diverged."""
    found = []
    for number, (t, s) in enumerate((t, s) for t in (0.05, 0.22, 1.0) for s in (0.0, 0.5, 1.0, 1.5)):
        score = 0.5 + 0.1 * (t == 0.22) + 0.05 * s - 0.03 * (s == 1.5)
        values = {"objective.temperature": t, "augment.strength": s}
        status = Status.DIVERGED if number == 0 else Status.FINISHED if score > 0.53 else Status.STOPPED
        reached = {Status.FINISHED: 8, Status.STOPPED: 3, Status.DIVERGED: 1}[status]
        found.append(
            trial(
                number,
                values,
                score if status is Status.FINISHED else None,
                status,
                intermediate_scores=reached,
            )
        )
    return found


def hill(temperature: float, strength: float, **_others: Any) -> float:
    """Highest, 0.7, at temperature 0.1 and strength 1.2; temperature matters most."""
    return 0.7 - 0.05 * float(np.log(temperature / 0.1)) ** 2 - 0.01 * (strength - 1.2) ** 2
