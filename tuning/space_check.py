"""Checks of a space against the run that it varies, before a sweep begins."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.layers import flatten
from echopair.tuning.distributions import Choices, Distribution, Grid, in_words
from echopair.tuning.space import SPACE_KEY, lay_over, nested

CORNERS_CHECKED = 1000
CORNERS_PER_EXAMPLE = 4

_ELSEWHERE = "it changes where things are and not what is learned"
_MEANING = "it changes what the score means, and trials could no longer be compared"
_SPEED = "it changes how fast a trial trains and not what it learns"
NOT_SWEPT: dict[str, str] = {
    "corpora": _MEANING,
    "prepare": _MEANING,
    "embed": _MEANING,
    "probe": _MEANING,
    "ray": _ELSEWHERE,
    "tracking": _ELSEWHERE,
    "work_folder": _ELSEWHERE,
    "run_name": "each trial is named after its number",
    "threads": "sweep.resources decides it for all trials",
    "pretrain.device": _SPEED,
    "pretrain.workers": _SPEED,
    "pretrain.processes": "a trial is trained by one process",
    "pretrain.synchronise_batch_norm": "a trial is trained by one process",
    "pretrain.minutes": "what minutes are depends on the machine; sweep pretrain.steps or pretrain.epochs",
    "pretrain.checkpoint_every_seconds": _SPEED,
    "pretrain.log_every_steps": _SPEED,
    "pretrain.schedule": "population-based training writes it (sweep.scheduler.name=pbt)",
}


def check_space(
    space: Mapping[str, Distribution], base: Mapping[str, Any], make: Callable[[dict[str, Any]], RunConfig]
) -> None:
    """Check a space on the run that it varies, before a sweep begins.

    Whole trials are checked: the corners of the space, and each key's values between at some corners of the others.

    Args:
        base: the run's values, as `pipeline.config.as_given`.
        make: the config of nested values, as `pipeline.config.validated`.

    Raises:
        UserError: an empty space, a key that is unknown or cannot be swept, values that the run refuses.
    """
    if not space:
        raise UserError(
            f"{SPACE_KEY} is empty; give at least one key, as {SPACE_KEY}.objective.temperature=[0.1, 0.2]"
        )
    nested(dict.fromkeys(space))  # refuses a key within another
    for key, distribution in space.items():
        _refuse_what_is_not_swept(key, distribution)

    def refusal(values: Mapping[str, Any]) -> str:
        """What is wrong with a trial's values; empty if nothing is."""
        try:
            make(lay_over(base, values))
        except UserError as error:
            return str(error)
        return ""

    for values in _trials_to_check(space):
        if refusal(values):
            few = _fewest_refused(values, refusal)
            raise UserError(f"{SPACE_KEY}: {_explain(space, few, refusal)}")


def _refuse_what_is_not_swept(key: str, distribution: Distribution) -> None:
    mappings = (value for value in distribution.ends() if isinstance(value, Mapping))
    parts = {f"{key}.{part}" for value in mappings for part, _ in flatten(value)}
    for touched in [key, *sorted(parts)]:
        for kept, reason in NOT_SWEPT.items():
            if f"{touched}.".startswith(f"{kept}."):
                raise UserError(f"{SPACE_KEY}.{key}: {touched} cannot be swept: {reason}")


def _trials_to_check(space: Mapping[str, Distribution]) -> Iterator[dict[str, Any]]:
    """The corners of the space, or many if there are very many, then each key's examples at some corners."""
    draw = random.Random(0)
    ends = {key: distribution.ends() for key, distribution in space.items()}

    def corner() -> dict[str, Any]:
        return {key: draw.choice(values) for key, values in ends.items()}

    if math.prod(len(values) for values in ends.values()) <= CORNERS_CHECKED:
        yield from (dict(zip(ends, values, strict=True)) for values in itertools.product(*ends.values()))
    else:
        yield from (corner() for _ in range(CORNERS_CHECKED))
    for key, distribution in space.items():
        for value in distribution.examples():
            yield from (corner() | {key: value} for _ in range(CORNERS_PER_EXAMPLE))


def _fewest_refused(values: Mapping[str, Any], refusal: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    """The values that matter to a refusal's first line: without any one of them it would be another."""
    few = dict(values)
    reason = refusal(few).partition("\n")[0]
    for key in values:
        without = {other: value for other, value in few.items() if other != key}
        if refusal(without).partition("\n")[0] == reason:
            few = without
    return few


def _explain(
    space: Mapping[str, Distribution], values: Mapping[str, Any], refusal: Callable[[Mapping[str, Any]], str]
) -> str:
    """Which of a trial's values are refused, why, and what to write instead."""
    reason = refusal(values)
    if len(values) > 1:
        assignments = ", ".join(f"{key}={in_words(value)}" for key, value in values.items())
        return (
            f"{assignments} do not go together: {reason}\n"
            "narrow their values, or list what goes together as choices of the mapping that holds them"
        )
    ((key, value),) = values.items()
    parent, _, setting = key.rpartition(".")
    if f"{parent}.name" in space and reason.startswith("unknown key"):
        return (
            f"{key} is no setting of every {parent}.name; write the alternatives out, each with its settings, as "
            f"{SPACE_KEY}.{parent}=[{{name: ...}}, {{name: ..., {setting}: {in_words(value)}}}]"
        )
    message = reason if key in reason else f"{key}={in_words(value)}: {reason}"
    return f"{message}{_remedy(space[key], key, value, refusal)}"


def _remedy(
    distribution: Distribution, key: str, value: Any, refusal: Callable[[Mapping[str, Any]], str]
) -> str:
    """What to write in place of a range of which some values are refused."""
    if isinstance(distribution, Choices | Grid):
        return ""
    if value != math.ceil(value) and not refusal({key: math.ceil(value)}):
        low, high = math.ceil(distribution.low), math.floor(distribution.high)
        log = ", log: true" if distribution.is_log else ""
        return f"; it takes whole numbers: {{name: integers, low: {low}, high: {high}{log}}}"
    if not any(refusal({key: end}) for end in distribution.ends()):
        listed = in_words([int(end) if end == int(end) else end for end in distribution.ends()])
        return f"; list the values that are possible, as {SPACE_KEY}.{key}={listed}"
    return ""
