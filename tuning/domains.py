"""The domains of swept keys: ranges and lists of values."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from echopair.pipeline.errors import UserError

SIGNIFICANT_DIGITS = 6
NARROWEST_RANGE = 1e-9  # of its larger end; below that, doubles run out of values
INTEGERS_LISTED = 32  # as many are all tried on the config before a sweep; of more, the ends and some between
EXAMPLES_BETWEEN = 16
GOLDEN_SHARE = (math.sqrt(5) - 1) / 2  # its multiples share no divisor with anything a config may ask for


class _FloatRange(BaseModel, frozen=True, extra="forbid"):
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
        return False

    def every_value(self) -> None:
        """None: they are too many to list."""
        return None

    def at(self, share: float) -> float:
        """The value at a share of the domain, 0 <= share < 1."""
        return self.rounded(_between(self.low, self.high, share, self.is_log))

    def rounded(self, value: float) -> float:
        """A value with as few digits as tell it from its neighbours: what is stored is what was tried."""
        narrowness = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        digits = max(SIGNIFICANT_DIGITS, math.ceil(math.log10(narrowness)) + SIGNIFICANT_DIGITS - 1)
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def grid_values(self) -> list[Any]:
        """The values of a grid search: `points` of them, evenly spaced, ends included.

        Raises:
            UserError: without `points`.
        """
        between = [
            self.rounded(value) for value in _inner_points(self.low, self.high, self.points, self.is_log)
        ]
        return [self.low, *between, self.high]

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the domain's."""
        return _is_number(value) and self.low <= value <= self.high

    def examples(self) -> list[Any]:
        """Values that stand for all in a check: the ends, and some between."""
        return [*self.ends(), *(self.at(share) for share in _shares_between())]

    def ends(self) -> list[Any]:
        """The lowest and the highest value."""
        return [self.low, self.high]

    def describe(self) -> str:
        """The domain in a few words."""
        return f"{self.low:g} to {self.high:g}"


class Uniform(_FloatRange, frozen=True, extra="forbid"):
    """Numbers from `low` to `high`, all equally likely."""

    name: Literal["uniform"] = "uniform"


class LogUniform(_FloatRange, frozen=True, extra="forbid"):
    """Numbers from `low` to `high` whose logarithms are equally likely."""

    name: Literal["log_uniform"] = "log_uniform"
    low: float = Field(gt=0, allow_inf_nan=False, description="lowest value, included")

    @property
    def is_log(self) -> bool:
        """Yes."""
        return True

    def describe(self) -> str:
        """The domain in a few words."""
        return f"{super().describe()}, log"


class Integers(BaseModel, frozen=True, extra="forbid"):
    """Whole numbers from `low` to `high`."""

    name: Literal["integers"] = "integers"
    low: int = Field(description="lowest value, included")
    high: int = Field(description="highest value, included")
    log: bool = Field(False, description="equal factors, rather than equal differences, are equally likely")
    points: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="values in a grid search, ends included; fewer where they round to the same",
    )

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low={self.low} must be below high={self.high}")
        if self.log and self.low < 1:
            raise ValueError(f"low={self.low}: log=true needs a low of 1 or more")
        return self

    @property
    def is_log(self) -> bool:
        """Whether equal factors, rather than equal differences, are equally likely."""
        return self.log

    def every_value(self) -> Sequence[int]:
        """All values, by rising size."""
        return range(self.low, self.high + 1)

    def at(self, share: float) -> int:
        """The value at a share of the domain, 0 <= share < 1; each number has what rounds to it."""
        value = math.floor(_between(self.low - 0.5, self.high + 0.5, share, self.log) + 0.5)
        return min(max(value, self.low), self.high)

    def grid_values(self) -> list[Any]:
        """The values of a grid search: `points` of them, evenly spaced but for rounding, ends included.

        Raises:
            UserError: without `points`.
        """
        between = [
            math.floor(value + 0.5) for value in _inner_points(self.low, self.high, self.points, self.log)
        ]
        return list(dict.fromkeys([self.low, *between, self.high]))

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the domain's."""
        return _is_number(value) and isinstance(value, int) and self.low <= value <= self.high

    def examples(self) -> list[Any]:
        """Values that stand for all in a check: all if they are few, else the ends and some between."""
        if self.high - self.low < INTEGERS_LISTED:
            return list(self.every_value())
        return list(dict.fromkeys([*self.ends(), *(self.at(share) for share in _shares_between())]))

    def ends(self) -> list[Any]:
        """The lowest and the highest value."""
        return [self.low, self.high]

    def describe(self) -> str:
        """The domain in a few words."""
        return f"{self.low} to {self.high}, whole{', log' if self.log else ''}"


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
    def is_log(self) -> bool:
        """No."""
        return False

    def every_value(self) -> Sequence[Any]:
        """All values."""
        return self.values

    def at(self, share: float) -> Any:
        """The value at a share of the list, 0 <= share < 1."""
        return self.values[int(share * len(self.values))]

    def place(self, value: Any) -> int:
        """Where a value stands in the list, from 0.

        Raises:
            StopIteration: it is none of them; see `contains`.
        """
        return next(place for place, other in enumerate(self.values) if _same(value, other))

    def grid_values(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the domain's."""
        return any(_same(value, other) for other in self.values)

    def examples(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def ends(self) -> list[Any]:
        """All values: they have no order."""
        return list(self.values)

    def describe(self) -> str:
        """The domain in a few words."""
        return ", ".join(in_words(value) for value in self.values)


class Choices(_Listed, frozen=True, extra="forbid"):
    """One of the listed values, all equally likely; a plain list stands for it."""

    name: Literal["choices"] = "choices"


class Grid(_Listed, frozen=True, extra="forbid"):
    """Every listed value, with every proposal of the other keys: seeds to repeat with, objectives to compare."""

    name: Literal["grid"] = "grid"

    def describe(self) -> str:
        """The domain in a few words."""
        return f"each of {super().describe()}"


Domain = Annotated[LogUniform | Uniform | Integers | Choices | Grid, Field(discriminator="name")]


def in_words(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _inner_points(low: float, high: float, points: int | None, log: bool) -> list[float]:
    """The evenly spaced values between the ends, both of which count among the points."""
    if points is None:
        raise UserError(
            f"a grid search needs points, as points: 4, or a list, for the range {low:g} to {high:g}"
        )
    return [_between(low, high, number / (points - 1), log) for number in range(1, points - 1)]


def _shares_between() -> list[float]:
    return [number * GOLDEN_SHARE % 1 for number in range(1, EXAMPLES_BETWEEN + 1)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, other: Any) -> bool:
    """Equal, and not true for 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
