"""The distributions of swept keys: ranges and lists of values."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIGNIFICANT_DIGITS = 6
NARROWEST_RANGE = 1e-9  # of its larger end; below that, floats run out of values
INTEGERS_LISTED = 32  # a range of at most so many whole numbers is checked value by value
EXAMPLES_BETWEEN = 16
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 cover a range evenly


class _Range(BaseModel, frozen=True, extra="forbid"):
    """Numbers from `low` to `high`."""

    low: float = Field(allow_inf_nan=False, description="lowest value, included")
    high: float = Field(allow_inf_nan=False, description="highest value, included")
    points: int | None = Field(None, ge=2, le=1000, description="values in a grid search, ends included")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.high - self.low <= NARROWEST_RANGE * max(abs(self.low), abs(self.high)):
            raise ValueError(f"low={self.low:g} must be below high={self.high:g}")
        return self

    @property
    def is_log(self) -> bool:
        """Whether equal factors, rather than equal differences, are equally likely."""
        return isinstance(self, LogUniform) or (isinstance(self, Integers) and self.log)

    @property
    def size(self) -> float:
        """How many values there are."""
        return math.inf

    def every_value(self) -> Sequence[Any]:
        """All values, where they can be counted."""
        raise NotImplementedError

    def at(self, quantile: float) -> Any:
        """The value at a quantile of the distribution, 0 <= quantile < 1."""
        return self.rounded(_between(self.low, self.high, quantile, self.is_log))

    def rounded(self, value: float) -> Any:
        """A value within the range, with as few digits as tell it from its neighbours."""
        narrowness = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        digits = max(SIGNIFICANT_DIGITS, math.ceil(math.log10(narrowness)) + SIGNIFICANT_DIGITS - 1)
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def grid_values(self) -> list[Any]:
        """The values of a grid search: `points` of them, evenly spaced but for rounding, ends included.

        Raises:
            UserError: without `points`.
        """
        if self.points is None:
            raise UserError(
                f"a grid search needs points, as points: 4, or a list, for the range {self.low:g} to {self.high:g}"
            )
        last = self.points - 1
        between = [_between(self.low, self.high, number / last, self.is_log) for number in range(1, last)]
        return list(dict.fromkeys([self.low, *map(self.rounded, between), self.high]))

    def examples(self) -> list[Any]:
        """Values to check in place of all: the ends, and some between."""
        between = (self.at(number * GOLDEN_RATIO % 1) for number in range(1, EXAMPLES_BETWEEN + 1))
        return list(dict.fromkeys([*self.ends(), *between]))

    def ends(self) -> list[Any]:
        """The lowest and the highest value."""
        return [self.low, self.high]

    def to_optuna(self) -> "BaseDistribution":
        """The same distribution for optuna."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.is_log)

    def parameter(self, value: Any) -> Any:
        """A value as optuna's distribution has it."""
        return value

    def value(self, parameter: Any) -> Any:
        """The value of one of optuna's parameters."""
        return self.rounded(parameter)


class Uniform(_Range, frozen=True, extra="forbid"):
    """Numbers from `low` to `high`, all equally likely."""

    name: Literal["uniform"] = "uniform"


class LogUniform(_Range, frozen=True, extra="forbid"):
    """Numbers from `low` to `high` whose logarithms are equally likely."""

    name: Literal["log_uniform"] = "log_uniform"
    low: float = Field(gt=0, allow_inf_nan=False, description="lowest value, included")


class Integers(_Range, frozen=True, extra="forbid"):
    """Whole numbers from `low` to `high`."""

    name: Literal["integers"] = "integers"
    low: int = Field(description="lowest value, included")
    high: int = Field(description="highest value, included")
    log: bool = Field(False, description="equal factors, rather than equal differences, are equally likely")

    @model_validator(mode="after")
    def _log_needs_positive_numbers(self) -> Self:
        if self.log and self.low < 1:
            raise ValueError(f"low={self.low}: log=true needs a low of 1 or more")
        return self

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def every_value(self) -> Sequence[int]:
        """All values, in rising order."""
        return range(self.low, self.high + 1)

    def at(self, quantile: float) -> int:
        """The value at a quantile, 0 <= quantile < 1; each number gets the interval that rounds to it."""
        return self.rounded(_between(self.low - 0.5, self.high + 0.5, quantile, self.log))

    def rounded(self, value: float) -> int:
        """The whole number next to a value, within the range."""
        return min(max(math.floor(value + 0.5), self.low), self.high)

    def examples(self) -> list[Any]:
        """All values where they are few, else the ends and some between."""
        few = self.high - self.low < INTEGERS_LISTED
        return list(self.every_value()) if few else super().examples()

    def to_optuna(self) -> "BaseDistribution":
        """The same distribution for optuna."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log)


class _Listed(BaseModel, frozen=True, extra="forbid"):
    """Values one by one: numbers, words, lists or mappings."""

    values: tuple[Any, ...] = Field(min_length=1, description="the values, each once")

    @field_validator("values")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for number, value in enumerate(values):
            if any(_same(value, other) for other in values[:number]):
                raise ValueError(f"{in_words(value)} is listed twice; list each value once")
        return values

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def every_value(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def grid_values(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def examples(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def ends(self) -> list[Any]:
        """All values: they have no order."""
        return list(self.values)

    def at(self, quantile: float) -> Any:
        """The value at a quantile of the list, 0 <= quantile < 1."""
        return self.values[int(quantile * len(self.values))]

    def to_optuna(self) -> "BaseDistribution":
        """Places in the list: optuna's categories can be neither lists nor mappings."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(range(len(self.values)))

    def parameter(self, value: Any) -> int:
        """The place of a value in the list."""
        return next(place for place, other in enumerate(self.values) if _same(value, other))

    def value(self, parameter: int) -> Any:
        """The value at a place in the list."""
        return self.values[parameter]


class Choices(_Listed, frozen=True, extra="forbid"):
    """One of the listed values, all equally likely; a plain list means the same."""

    name: Literal["choices"] = "choices"


class Grid(_Listed, frozen=True, extra="forbid"):
    """Every listed value, with every proposal of the other keys: seeds to repeat with, objectives to compare."""

    name: Literal["grid"] = "grid"


Distribution = Annotated[LogUniform | Uniform | Integers | Choices | Grid, Field(discriminator="name")]


def in_words(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _same(value: Any, other: Any) -> bool:
    """Equal, and not true for 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
