"""Made-up sweeps, whose findings are known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from echopair.tuning.report.parameters import Parameter
from echopair.tuning.trials import Reading, Status, Trial

TEMPERATURE = Parameter("objective.temperature", log=True, low=0.02, high=1.0)
STRENGTH = Parameter("augment.strength", low=0.0, high=3.0)
ENCODER = Parameter("encoder.name", values=("resnet", "vgg_like", "crnn"))
SEED = Parameter("seed", values=(0, 1, 2))
STEPS = 800


def trial(
    number: int,
    values: Mapping[str, Any],
    score: float | None = None,
    status: Status | str = Status.FINISHED,
    *,
    readings: int = 8,
    **kwargs: Any,
) -> Trial:
    """A trial with readings at eighths of its training, up to the first `readings` of them."""
    top = 0.5 if score is None else score
    read = [
        Reading(milestone=n, step=n * STEPS // 8, score=top * n / 8, seconds=10.0 * n)
        for n in range(1, readings + 1)
    ]
    kwargs = {"steps": STEPS, "seconds": 10.0 * readings, "attempts": 1} | kwargs
    return Trial(
        number=number, values=dict(values), status=Status(status), score=score, readings=tuple(read), **kwargs
    )


def along(parameter: Parameter, places: Sequence[Any], scores: Sequence[float]) -> list[Trial]:
    """Finished trials of one parameter."""
    return [
        trial(number, {parameter.key: place}, score)
        for number, (place, score) in enumerate(zip(places, scores, strict=True))
    ]


def random_sweep(
    parameters: Sequence[Parameter],
    trials: int,
    score: Callable[..., float],
    noise: float = 0.004,
    seed: int = 0,
) -> list[Trial]:
    """Finished trials at random values.

    Args:
        parameters: ranges or finite values.
        trials: how many.
        score: of values, given by the last part of their keys.
        noise: standard deviation of what chance adds to it.
        seed: of values and chance.
    """
    generator = np.random.default_rng(seed)
    found = []
    for number in range(trials):
        values = {parameter.key: _draw(parameter, generator) for parameter in parameters}
        told = {key.removesuffix(".name").split(".")[-1]: value for key, value in values.items()}
        found.append(trial(number, values, score(**told) + noise * float(generator.normal())))
    return found


def hill(temperature: float, strength: float, **_others: Any) -> float:
    """Highest, 0.7, at temperature 0.1 and strength 1.2; temperature matters most."""
    return 0.7 - 0.05 * float(np.log(temperature / 0.1)) ** 2 - 0.01 * (strength - 1.2) ** 2


def _draw(parameter: Parameter, generator: np.random.Generator) -> Any:
    if parameter.values is not None:
        return parameter.values[generator.integers(len(parameter.values))]
    assert parameter.low is not None
    assert parameter.high is not None
    share = generator.random()
    if parameter.log:
        return float(parameter.low * (parameter.high / parameter.low) ** share)
    return float(parameter.low + (parameter.high - parameter.low) * share)
