"""What is wrong with a config, for people: a line for each key, and what an unknown key was probably meant to be."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from echopair.pipeline.errors import did_you_mean

ERRORS_SHOWN = 5


def explain(error: ValidationError, values: Mapping[str, Any], hint: Callable[[str], str]) -> str:
    """What is wrong with values, a line for each key; the first few of them.

    Args:
        error: of pydantic.
        values: nested.
        hint: how the line on an unknown key ends, as "; did you mean 'seed'?"; empty where nothing helps.
    """
    lines = []
    for problem in error.errors():
        key = _dotted(problem["loc"], values)
        message = problem["msg"].removeprefix("Value error, ")
        match problem["type"]:
            case "extra_forbidden":
                lines.append(f"unknown key {key!r}{hint(key)}")
            case "union_tag_not_found":
                lines.append(f"{key} has no name; add {key}.name=NAME, or start from a preset that has {key}")
            case "missing":
                lines.append(f"{key} is missing; add {key}=VALUE")
            case "model_attributes_type" if isinstance(problem["input"], str):
                lines.append(f"{key} holds keys and values; did you mean {key}.name={problem['input']}?")
            case "model_type" | "model_attributes_type":
                lines.append(f"{key}={problem['input']!r}: it holds keys and values")
            case "value_error":
                lines.append(message if not key or message.startswith(key) else f"{key}: {message}")
            case _ if problem["input"] is None:
                lines.append(f"{key} is empty; give it a value, as {key}=VALUE")
            case _:
                lines.append(f"{key}={problem['input']!r}: {message[0].lower()}{message[1:]}")
    hidden = len(lines) - ERRORS_SHOWN
    return "\n".join(lines[:ERRORS_SHOWN] + ([f"... and {hidden} more"] if hidden > 0 else []))


def _dotted(location: Sequence[int | str], values: Any) -> str:
    """A dotted key, without the alternatives' names that pydantic puts between."""
    parts = []
    is_name = (
        False  # whether the part before was an alternative's name, which a key of it may be called as well
    )
    for part in location:
        is_name = not is_name and isinstance(values, Mapping) and part == values.get("name")
        if is_name:
            continue
        parts.append(str(part))
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, Sequence) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            values = None
    return ".".join(parts)


def nearest_key(key: str, known: Iterable[str]) -> str:
    """The one known key that ends alike, else the one spelt most alike: "; did you mean 'x'?", or nothing."""
    known = set(known) - {key}  # another alternative may have it
    ends_alike = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    if len(ends_alike) == 1:
        return f"; did you mean {ends_alike[0]!r}?"
    return did_you_mean(key, sorted(known))
