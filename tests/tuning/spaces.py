"""Spaces as a user writes them."""

from typing import Any

from pydantic import TypeAdapter

from echopair.tuning.distributions import Distribution
from echopair.tuning.space import space_of

TEMPERATURES = {"name": "log_uniform", "low": 0.05, "high": 1}
SPACE: TypeAdapter[dict[str, Distribution]] = TypeAdapter(dict[str, Distribution])


def read(raw: dict[str, Any]) -> dict[str, Distribution]:
    """The distributions of what stands below `sweep.space`."""
    return SPACE.validate_python(space_of(raw))
