"""How the report says numbers; beside `tuning.results`, which says values, durations and outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

from echopair.tuning.results import value_text


def whole_percent(share: float) -> str:
    """A share, without decimals: "43 %"; what is neither nothing nor all does not read like it."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def points(difference: float) -> str:
    """A difference of scores: "1 point", "2.3 points"."""
    text = f"{100 * difference:.1f}".removesuffix(".0")
    return f"{text} point" if text == "1" else f"{text} points"


def joined(texts: Sequence[str]) -> str:
    """Texts as people list them: "a, b and c"."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def setting(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Values with their names: "temperature 0.12, strength 0.8"."""
    return ", ".join(f"{name} {value_text(values[key])}" for key, name in names.items() if key in values)
