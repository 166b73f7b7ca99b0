"""Values that change in the course of a training: what population-based training finds, as a plain config."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from echopair.models.methods import MethodConfig

CHANGEABLE_SLICES = ("objective", "augment")
CHANGEABLE_KEYS = ("pretrain.learning_rate", "pretrain.weight_decay")
# Another alternative has other keys below it, and a file may change after it was loaded.
FIXED_WITHIN = ("name", "file")

Config = TypeVar("Config", bound=BaseModel)


class ScheduledChange(BaseModel, frozen=True, extra="forbid"):
    """Other values of dotted keys, from a step on."""

    step: int = Field(ge=1, description="steps done when the values begin to hold")
    values: dict[str, Any] = Field(
        min_length=1, description="dotted keys and their values, as objective.temperature: 0.1"
    )

    @field_validator("values")
    @classmethod
    def _may_change(cls, values: dict[str, Any]) -> dict[str, Any]:
        for key, value in values.items():
            check_schedulable(key)
            if isinstance(value, Mapping):
                raise ValueError(f"{key} is given several values; give each a line: {key}.KEY: VALUE")
        return values


def check_schedulable(key: str, objective: MethodConfig | None = None) -> None:
    """Refuse a key that must stay as it is while the encoder learns.

    Args:
        key: dotted, of the run's config.
        objective: config of the method, which says which of its keys may change; None allows all of `objective`.

    Raises:
        ValueError: says which keys may change, and why no others.
    """
    top, *below = key.split(".")
    if key in CHANGEABLE_KEYS:
        return
    if top in CHANGEABLE_SLICES and below and below[-1] not in FIXED_WITHIN:
        # A key that the method does not have is left to the validation of the changed config.
        keys = () if objective is None else type(objective).model_fields
        if (
            top != "objective"
            or objective is None
            or below[0] in objective.CHANGEABLE
            or below[0] not in keys
        ):
            return
    names = ("*",) if objective is None else objective.CHANGEABLE
    changeable = [*(f"objective.{name}" for name in names), "augment.*", *CHANGEABLE_KEYS]
    raise ValueError(
        f"{key} cannot change in the course of a training, which would no longer have the same weights, data or "
        f"length; change only {', '.join(changeable)} (but no {' or '.join(FIXED_WITHIN)})"
    )


def check_schedule(config: BaseModel, schedule: Sequence[ScheduledChange]) -> None:
    """Refuse a schedule unless each of its changes leaves a valid config.

    Args:
        config: with slices `objective` and `pretrain`, whose own schedule is ignored.
        schedule: by rising step.

    Raises:
        ValueError: names the step, the key and the value.
    """
    for change in schedule:
        try:
            for key in change.values:
                check_schedulable(key, config.objective)  # type: ignore[attr-defined]
            scheduled(config, schedule, change.step)
        except ValueError as error:
            reason = _explain(error, change.values) if isinstance(error, ValidationError) else error
            raise ValueError(f"pretrain.schedule: from step {change.step} on, {reason}") from error


def scheduled(config: Config, schedule: Sequence[ScheduledChange], step: int) -> Config:
    """The config of a step: with the changes up to it; later ones override earlier ones.

    Args:
        config: with a slice `pretrain`.
        schedule: by rising step.
        step: steps done before it, from 0.

    Returns:
        A config of the same kind that has no schedule.

    Raises:
        ValueError: the changes do not fit the config.
    """
    values = config.model_dump(mode="json")
    values["pretrain"]["schedule"] = []
    for change in schedule:
        if change.step <= step:
            for key, value in change.values.items():
                _set(values, key, value)
    return type(config).model_validate(values)


def phases(schedule: Sequence[ScheduledChange], first: int, steps: int) -> list[range]:
    """The steps from `first` up to `steps`, cut wherever values change."""
    cuts = [first, *(change.step for change in schedule if first < change.step < steps), steps]
    return [range(start, stop) for start, stop in pairwise(cuts) if start < stop]


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ValueError(f"{key}={value!r}: {parent} has no keys; it is changed as a whole")
        values = below
    values[last] = value


def _explain(error: ValidationError, given: Mapping[str, Any]) -> str:
    problem = error.errors()[0]
    unknown = problem["type"] == "extra_forbidden"
    message = "there is no such key" if unknown else problem["msg"].removeprefix("Value error, ")
    # Between the parts of a key pydantic names the alternatives of a union. An error that belongs to no single key,
    # such as more operations than a pool has, names all keys.
    blamed = [key for key in given if _contains_in_order(key.split("."), problem["loc"])] or list(given)
    return f"{', '.join(f'{key}={given[key]!r}' for key in blamed)}: {message}"


def _contains_in_order(parts: Sequence[str], location: Sequence[int | str]) -> bool:
    remaining = iter(location)
    return all(part in remaining for part in parts)
