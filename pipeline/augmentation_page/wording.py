"""Names and numbers of augmentations as people read them: the unit of a number is the end of its key."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from echopair.pipeline.pages import printable

# By the last word of a key.
UNITS = {
    "db": "dB",
    "dbfs": "dBFS",
    "lufs": "LUFS",
    "hz": "Hz",
    "khz": "kHz",
    "kbps": "kbit/s",
    "seconds": "s",
    "milliseconds": "ms",
    "metres": "m",
    "degrees": "°",
    "celsius": "°C",
    "percent": "%",
    "semitones": "semitones",
    "octaves": "octaves",
    "cents": "cents",
    "samples": "samples",
    "frames": "frames",
    "bands": "bands",
    "bits": "bits",
}
# A share is shown in percent, and still called so.
SHARES = ("share", "shares")
# Nobody tells 2.34 dB from 2.3 dB.
COARSE_UNITS = ("dB", "%")
# A parameter of this name is a row of the batch: the clip that is mixed in.
ROW_WORD = "partner"
MINUS = "\N{MINUS SIGN}"
GAP = "\N{NO-BREAK SPACE}"
LISTED_VALUES = 8
# More values than this are a texture, such as noise for each bin, and no numbers to read.
MOST_VALUES = 256


def spoken(name: str) -> str:
    """A key or the name of an augmentation as words."""
    return name.replace("_", " ")


def quantity(value: float, unit: str = "") -> str:
    """A number without its unit: whole ones and those from 1,000 upwards exact to the unit, others to three
    digits, decibels and percent to a tenth."""
    if isinstance(value, int) or abs(value) >= 999.5:
        text = f"{value:,.0f}"
    elif unit in COARSE_UNITS:
        text = f"{value:.1f}".removesuffix(".0") if abs(value) >= 0.095 else f"{value:.1g}"
    else:
        text = f"{value:.3g}"
    return "0" if text == "-0" else text.replace("-", MINUS)


def value_in_words(key: str, value: Any) -> tuple[str, str]:
    """What a key names, and its value with the unit.

    Args:
        key: such as "gain_db" or "slope_db_per_octave"; its end tells the unit.
        value: number, text, or lists of numbers.

    Returns:
        Label and value, as ("gain", "−3.2 dB"); the label is empty where the unit says it all.
    """
    words = key.split("_")
    values = _flat(value)
    if words[-1] == ROW_WORD and all(isinstance(row, int) for row in values):
        return " ".join([*words, "crop"]), _joined([row + 1 for row in values], "")
    if words[-2:] == ["amplitude", "ratio"] and all(isinstance(one, float) and one > 0 for one in values):
        return " ".join([*words[:-2], "amplitude"]), _joined([20 * math.log10(one) for one in values], "dB")
    unit = ""
    if words[-2:-1] == ["per"] and words[-3:-2] and words[-3] in UNITS:
        unit, words = f"{UNITS[words[-3]]} per {words[-1]}", words[:-3]
    elif words[-1] in UNITS:
        unit, words = UNITS[words[-1]], words[:-1]
    elif words[-1] in SHARES:
        unit, values = "%", [100 * one if isinstance(one, float) else one for one in values]
    return " ".join(words), _joined(values, unit)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [one for part in value for one in _flat(part)]
    return [value]


def _joined(values: list[Any], unit: str) -> str:
    if not values:
        return "none"
    if len(values) > LISTED_VALUES and all(isinstance(one, bool) for one in values):
        return f"{sum(values):,} of {len(values):,}"
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    if numbers and len(values) > LISTED_VALUES:
        span = f"{quantity(min(values), unit)} to {quantity(max(values), unit)}"
        return f"{span}{_gap(unit) + unit if unit else ''} ({len(values):,} values)"
    shown = [_one(one, unit) for one in values[:LISTED_VALUES]]
    if len(values) > LISTED_VALUES:
        shown.append("…")
    text = ", ".join(shown)
    if not unit or not numbers:
        return text
    if text in ("1", f"{MINUS}1") and unit.endswith("s") and len(unit) > 1:
        unit = unit[:-1]
    return f"{text}{_gap(unit)}{unit}"


def _gap(unit: str) -> str:
    return "" if unit == "°" else GAP


def _one(value: Any, unit: str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return quantity(value, unit)
        case Path():
            return printable(value.name)
        case _:
            text = str(value)
            return printable(Path(text).name if "/" in text else text)


def numbers_of_row(parameters: Any, row: int) -> dict[str, Any]:
    """The drawn parameters of one example as plain numbers.

    Args:
        parameters: a dataclass of tensors whose first axis is B, nested or not.
        row: of the batch.
    """
    numbers: dict[str, Any] = {}
    for field in dataclasses.fields(parameters):
        value = getattr(parameters, field.name)
        if isinstance(value, Tensor):
            if value[row].numel() <= MOST_VALUES:
                numbers[field.name] = value[row].tolist()
        elif dataclasses.is_dataclass(value):
            inner = numbers_of_row(value, row)
            numbers |= {f"{field.name}_{name}": one for name, one in inner.items()}
        elif value is not None:
            numbers[field.name] = value
    return numbers


def applied_in_words(name: str, numbers: Mapping[str, Any]) -> str:
    """The drawn numbers of one augmentation, as "−3.2 dB" or "starts 4, 40; widths 11, 7".

    Args:
        name: of the augmentation; a single number of the same name is not named again.
        numbers: what was drawn, by key.
    """
    numbers = _numbered_together(numbers)
    parts = [value_in_words(key, value) for key, value in numbers.items()]
    if len(parts) == 1 and set(parts[0][0].split()) <= set(name.split("_")):
        return parts[0][1]
    lists = any(len(_flat(value)) > 1 for value in numbers.values())
    return ("; " if lists else ", ").join(f"{label} {value}".strip() for label, value in parts)


def _numbered_together(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that differ in one number, as band_1_gain_db and band_2_gain_db, as one list under the key without it."""
    together: dict[str, list[Any]] = {}
    for key, value in numbers.items():
        together.setdefault(re.sub(r"_\d+(?=_)", "", key, count=1), []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in together.items()}


def ranges_in_words(ranges: Mapping[str, Any]) -> list[str]:
    """Ranges of an augmentation, a minimum and a maximum of the same thing as one.

    Args:
        ranges: by key, as {"min_snr_db": 5.0, "max_snr_db": 40.0}.

    Returns:
        One text a range, as "snr 5 to 40 dB"; in the order of the keys.
    """
    grouped: dict[str, dict[str, Any]] = {}
    for key, value in ranges.items():
        if value is None:
            continue
        words = key.split("_")
        bound = next((word for word in ("min", "max") if word in words), "value")
        rest = "_".join(word for word in words if word not in ("min", "max")) or key
        grouped.setdefault(rest, {})[bound] = value
    texts = []
    for key, bounds in grouped.items():
        label, lowest = value_in_words(key, bounds.get("min", bounds.get("value")))
        _, highest = value_in_words(key, bounds.get("max"))
        if "value" in bounds:
            text = lowest
        elif "max" not in bounds:
            text = f"at least {lowest}"
        elif "min" not in bounds:
            text = f"at most {highest}"
        elif lowest == highest:
            text = lowest
        else:
            text = f"{_without_unit(lowest, highest)} to {highest}"
        texts.append(f"{label} {text}".strip())
    return texts


def _without_unit(lowest: str, highest: str) -> str:
    """A quantity without its unit, where that stands behind the other one of its range as well."""
    number, gap, unit = lowest.partition(GAP)
    return number if gap and highest.partition(GAP)[2] in (unit, unit + "s") else lowest


def purpose(docstring: str) -> str:
    """The first sentence of a docstring as plain text."""
    text = " ".join(docstring.partition("\n\n")[0].split()).replace("`", "").replace("+-", "±")
    sentence = re.match(r".*?\.(?=\s[A-Z])", text)
    return re.sub(r"(?<![\w-])-(?=\w)", MINUS, sentence[0] if sentence else text)
