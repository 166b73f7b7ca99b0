"""The space of a sweep: which dotted keys of a run are varied, and over which values."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from pipeline.config import RunConfig, flatten, merge, nearest_key, run_keys
from pipeline.config_text import did_you_mean
from pipeline.errors import UserError

SPACE_KEY = "sweep.space"
SIGNIFICANT_DIGITS = 6
NARROWEST_RANGE = 1e-9  # of its larger end; below that, doubles run out of values
INTEGERS_LISTED = 32  # as many are all tried on the config before a sweep; of more, the ends and some between
EXAMPLES_BETWEEN = 16
GOLDEN_SHARE = (math.sqrt(5) - 1) / 2  # its multiples share no divisor with anything a config may ask for
CORNERS_TRIED = 1000
CORNERS_BESIDE_AN_EXAMPLE = 4

_ELSEWHERE = "it changes where things are and not what is learned"
_MEANING = "it changes what the score means, and trials could no longer be compared"
_SPEED = "it changes how fast a trial trains and not what it learns"
NOT_SWEPT: dict[str, str] = {
    "corpora": _MEANING,
    "prepare": _MEANING,
    "embed": _MEANING,
    "probe": _MEANING,
    "tracking": _ELSEWHERE,
    "work_folder": _ELSEWHERE,
    "run_name": "each trial is named after its number",
    "threads": "sweep.resources decides it for all trials",
    "pretrain.device": _SPEED,
    "pretrain.workers": _SPEED,
    "pretrain.checkpoint_every_seconds": _SPEED,
    "pretrain.log_every_steps": _SPEED,
    "pretrain.schedule": "population-based training writes it (sweep.scheduler.name=pbt)",
}


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


Refusal = Callable[[Mapping[str, Any]], str | None]  # what is wrong with a trial's values; None if nothing is
Domain = Annotated[LogUniform | Uniform | Integers | Choices | Grid, Field(discriminator="name")]

_DOMAINS: dict[str, type[BaseModel]] = {
    domain.model_fields["name"].default: domain for domain in get_args(get_args(Domain)[0])
}
_SETTINGS = {setting for domain in _DOMAINS.values() for setting in domain.model_fields}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys, or mappings within mappings, or both, as mappings within mappings.

    Raises:
        UserError: a key is given twice, or both itself and by its parts.
    """
    tree: dict[str, Any] = {}
    for key, value in flatten(values):
        *parents, last = key.split(".")
        below = tree
        for depth, parent in enumerate(parents, start=1):
            below = below.setdefault(parent, {})
            if not isinstance(below, dict):
                raise UserError(f"{key} lies within {'.'.join(parents[:depth])}; give one of them, not both")
        if isinstance(value, Mapping):  # an empty one, the others are flattened
            below.setdefault(last, {})
        elif last not in below or below[last] == {}:
            below[last] = value
        elif isinstance(below[last], dict):
            raise UserError(f"{key}.{next(iter(below[last]))} lies within {key}; give one of them, not both")
        else:
            raise UserError(f"{key} is given twice; leave one out")
    return tree


def lay_over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's values laid over those of the run, all at once: a name and its settings come in any order.

    Args:
        base: the run's values, as `RunConfig.model_dump(mode="json")`.
        values: by dotted key.
    """
    return merge(base, nested(values))


def space_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The domains of a space as they are written in YAML, by dotted key and not yet validated.

    Args:
        raw: dotted keys, or mappings within mappings, or both. A list stands for choices, a mapping whose `name` is
            a word is a domain, and null takes a key out of the space.

    Raises:
        UserError: something that is no domain, or a key twice.
    """
    return dict(_domains_in(nested(raw), ""))


def check_space(
    space: Mapping[str, Domain], base: Mapping[str, Any], make: Callable[[dict[str, Any]], RunConfig]
) -> None:
    """Try a space on the run that it varies, before anything is begun.

    What is tried are whole trials: the corners of the space, and each key's values between at some corners of the
    other keys.

    Args:
        space: domains by dotted key.
        base: the run's values, as `RunConfig.model_dump(mode="json")`.
        make: the config of nested values, as `pipeline.config.validated`.

    Raises:
        UserError: an empty space, a key that is unknown or is not to be swept, values that the run refuses.
    """
    if not space:
        raise UserError(
            f"{SPACE_KEY} is empty; give at least one key, as {SPACE_KEY}.objective.temperature=[0.1, 0.2]"
        )
    nested(dict.fromkeys(space))  # refuses a key that lies within another
    for key, domain in space.items():
        _refuse_what_is_not_swept(key, domain)

    def refusal(values: Mapping[str, Any]) -> str | None:
        try:
            make(lay_over(base, values))
        except UserError as error:
            return str(error)
        return None

    for values in itertools.chain(_corners(space), _between_corners(space)):
        if refusal(values) is not None:
            raise UserError(
                f"{SPACE_KEY}: {_explain(space, base, _fewest_refused(values, refusal), refusal)}"
            )


def in_words(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _domains_in(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for part, value in tree.items():
        key = f"{prefix}{part}"
        match value:
            case None:
                continue
            case BaseModel():
                yield key, value
            case list() | tuple():
                yield key, {"name": "choices", "values": list(value)}
            case Mapping() if isinstance(value.get("name"), str):
                if value["name"] not in _DOMAINS:
                    raise UserError(_no_domain(key, value["name"]))
                yield key, dict(value)
            case Mapping() if value and "name" not in value and set(value) <= _SETTINGS:
                known = run_keys(key)
                raise UserError(
                    f"{SPACE_KEY}.{key}={in_words(dict(value))} has no name; add name: and one of {', '.join(_DOMAINS)}"
                    + ("" if key in known else nearest_key(key, known))
                )
            case Mapping():
                yield from _domains_in(value, f"{key}.")
            case _:
                raise UserError(
                    f"{SPACE_KEY}.{key}={in_words(value)} is one value; write a list of values, or a range as "
                    "{name: uniform, low: 0, high: 1}; what is not varied is a key of the run: "
                    f"{key}={in_words(value)}"
                )


def _no_domain(key: str, name: str) -> str:
    hint = did_you_mean(name, _DOMAINS) or (
        f"; what is not varied is a key of the run: {key}.name={name}; "
        f"to vary it, write {SPACE_KEY}.{key}.name=[{name}, ...]"
    )
    return f"{SPACE_KEY}.{key}: there is no domain {name!r}{hint}; domains are {', '.join(_DOMAINS)}"


def _refuse_what_is_not_swept(key: str, domain: Domain) -> None:
    parts = {
        f"{key}.{part}" for value in domain.ends() if isinstance(value, Mapping) for part, _ in flatten(value)
    }
    for touched in [key, *sorted(parts)]:
        for kept, reason in NOT_SWEPT.items():
            if f"{touched}.".startswith(f"{kept}."):
                raise UserError(f"{SPACE_KEY}.{key}: {touched} cannot be swept: {reason}")


def _corners(space: Mapping[str, Domain]) -> Iterator[dict[str, Any]]:
    """Trials of the lowest, highest and listed values alone: all of them, or many if there are very many."""
    ends = {key: domain.ends() for key, domain in space.items()}
    if math.prod(len(values) for values in ends.values()) <= CORNERS_TRIED:
        for values in itertools.product(*ends.values()):
            yield dict(zip(ends, values, strict=True))
    else:
        draw = random.Random(0)
        for _ in range(CORNERS_TRIED):
            yield {key: draw.choice(values) for key, values in ends.items()}


def _between_corners(space: Mapping[str, Domain]) -> Iterator[dict[str, Any]]:
    """Trials of each key's other values, and of listed ones that no corner may have had."""
    draw = random.Random(0)
    ends = {key: domain.ends() for key, domain in space.items()}
    for key, domain in space.items():
        for value in domain.examples():
            for _ in range(CORNERS_BESIDE_AN_EXAMPLE):
                yield {other: draw.choice(values) for other, values in ends.items()} | {key: value}


def _fewest_refused(values: Mapping[str, Any], refusal: Refusal) -> dict[str, Any]:
    """The values that matter to a refusal's first line: without any one of them it would be another."""
    few = dict(values)
    reason = _first_line(refusal(few))
    for key in values:
        without = {other: value for other, value in few.items() if other != key}
        if _first_line(refusal(without)) == reason:
            few = without
    return few


def _explain(
    space: Mapping[str, Domain], base: Mapping[str, Any], values: Mapping[str, Any], refusal: Refusal
) -> str:
    """Which of a trial's values are refused, why, and what to write instead."""
    said = refusal(values) or ""
    # The alternatives around other keys: encoder.name beside encoder.width.
    beside = {name: value for name, value in values.items() if any(_is_named_by(key, name) for key in values)}
    refused = [key for key in values if key not in beside]
    if len(refused) != 1:
        return (
            f"{_assignments(values)} do not go together: {said}\n"
            "narrow their values, or list what goes together as choices of the mapping that holds them"
        )
    key = refused[0]
    surroundings = dict(flatten(lay_over(base, beside)))
    parents = [".".join(key.split(".")[:depth]) for depth in range(1, key.count(".") + 1)]
    names = [name for name in space if _is_named_by(key, name)]
    if whole := [parent for parent in parents if surroundings.get(parent) not in (None, {})]:
        return f"unknown key {key!r}: {whole[0]} has no keys below it; sweep it as a whole"
    if names and said.startswith("unknown key"):
        parent = names[-1].removesuffix(".name")
        setting = f"{key.removeprefix(f'{parent}.')}: {in_words(values[key])}"
        return (
            f"{key} is no setting of {names[-1]}={surroundings[names[-1]]}; write the alternatives out, each with "
            f"its settings, as {SPACE_KEY}.{parent}=[{{name: ...}}, {{name: ..., {setting}}}]"
        )
    told = said if key in said else f"{key}={in_words(values[key])}: {said}"
    where = f" (with {_assignments(beside)})" if beside else ""
    return f"{told}{where}{_remedy(space[key], key, values, refusal)}"


def _remedy(domain: Domain, key: str, values: Mapping[str, Any], refusal: Refusal) -> str:
    """What to write in place of a range of which some values are refused."""
    if not isinstance(domain, _FloatRange | Integers):
        return ""
    value = values[key]
    if value != math.ceil(value) and refusal({**values, key: math.ceil(value)}) is None:
        low, high = math.ceil(domain.low), math.floor(domain.high)
        log = ", log: true" if domain.is_log else ""
        return f"; it takes whole numbers: {{name: integers, low: {low}, high: {high}{log}}}"
    if all(refusal({**values, key: end}) is None for end in domain.ends()):
        listed = in_words([int(end) if end == int(end) else end for end in domain.ends()])
        return f"; list the values that are possible, as {SPACE_KEY}.{key}={listed}"
    return ""


def _is_named_by(key: str, name: str) -> bool:
    """Whether `name` chooses among alternatives of which the key is a setting."""
    return key != name and name.endswith(".name") and key.startswith(name.removesuffix("name"))


def _first_line(refusal: str | None) -> str | None:
    return refusal and refusal.partition("\n")[0]


def _assignments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={in_words(value)}" for key, value in values.items())


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
