"""Spaces as a user writes them."""

from typing import Any

from pydantic import TypeAdapter

from echopair.tuning.distributions import Choices, Distribution, Grid, Integers
from echopair.tuning.space import space_of

TEMPERATURES = {"name": "log_uniform", "low": 0.05, "high": 1}
SPACE: TypeAdapter[dict[str, Distribution]] = TypeAdapter(dict[str, Distribution])


def read(raw: dict[str, Any]) -> dict[str, Distribution]:
    """The distributions of what stands below `sweep.space`."""
    return SPACE.validate_python(space_of(raw))


def contains(distribution: Distribution, value: Any) -> bool:
    """Whether a distribution can have a value."""
    match distribution:
        case Choices() | Grid():
            return value in distribution.values
        case Integers() if not isinstance(value, int):
            return False
        case _:
            return bool(distribution.low <= value <= distribution.high)
