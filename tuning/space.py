"""The space of a sweep as people write it, and a run with a trial's values."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from echopair.pipeline.config import run_keys
from echopair.pipeline.config_errors import nearest_key
from echopair.pipeline.errors import UserError, did_you_mean
from echopair.pipeline.layers import flatten, merge
from echopair.tuning.distributions import Distribution, in_words

SPACE_KEY = "sweep.space"


_DISTRIBUTIONS: dict[str, type[BaseModel]] = {
    one.model_fields["name"].default: one for one in get_args(get_args(Distribution)[0])
}
_SETTINGS = {setting for one in _DISTRIBUTIONS.values() for setting in one.model_fields}


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
                raise UserError(f"{key} is within {'.'.join(parents[:depth])}; give one of them, not both")
        if isinstance(value, Mapping):  # an empty one, the others are flattened
            below.setdefault(last, {})
        elif last not in below or below[last] == {}:
            below[last] = value
        elif isinstance(below[last], dict):
            raise UserError(f"{key}.{next(iter(below[last]))} is within {key}; give one of them, not both")
        else:
            raise UserError(f"{key} is given twice; leave one out")
    return tree


def lay_over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The run's values overridden by a trial's, all at once: a name and its settings come in any order.

    Args:
        base: the run's values, as `pipeline.config.as_given`.
        values: by dotted key.
    """
    return merge(base, nested(values))


def space_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The distributions of a space as they are written in YAML, by dotted key and not yet validated.

    Args:
        raw: dotted keys, or mappings within mappings, or both. A list means choices, a mapping whose `name` is
            a word is a distribution, and null takes a key out of the space.

    Raises:
        UserError: something that is no distribution, or a key twice.
    """
    return dict(_distributions_in(nested(raw), ""))


def _distributions_in(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
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
                if value["name"] not in _DISTRIBUTIONS:
                    raise UserError(_unknown_distribution(key, value["name"]))
                yield key, dict(value)
            case Mapping() if value and "name" not in value and set(value) <= _SETTINGS:
                known = run_keys(key)
                raise UserError(
                    f"{SPACE_KEY}.{key}={in_words(dict(value))} has no name; "
                    f"add name: and one of {', '.join(_DISTRIBUTIONS)}"
                    + ("" if key in known else nearest_key(key, known))
                )
            case Mapping():
                yield from _distributions_in(value, f"{key}.")
            case _:
                raise UserError(
                    f"{SPACE_KEY}.{key}={in_words(value)} is one value; write a list of values, or a range as "
                    "{name: uniform, low: 0, high: 1}; what is not varied is a key of the run: "
                    f"{key}={in_words(value)}"
                )


def _unknown_distribution(key: str, name: str) -> str:
    hint = did_you_mean(name, _DISTRIBUTIONS) or (
        f"; what is not varied is a key of the run: {key}.name={name}; "
        f"to vary it, write {SPACE_KEY}.{key}.name=[{name}, ...]"
    )
    return f"{SPACE_KEY}.{key}: there is no distribution {name!r}{hint}; distributions are {', '.join(_DISTRIBUTIONS)}"
