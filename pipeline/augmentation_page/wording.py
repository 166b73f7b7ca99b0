"""Augmentations in words: names, ranges and drawn numbers; the last word of a key is the unit of its number."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echopair.models.log_mel import LogMel
from echopair.pipeline.pages import printable

# Units that are not their own abbreviation, by the last word of a key.
UNITS = {
    "db": "dB",
    "hz": "Hz",
    "kbps": "kbit/s",
    "seconds": "s",
    "metres": "m",
    "degrees": "°",
    "celsius": "°C",
    "percent": "%",
    "semitones": "semitones",
    "bits": "bits",
}
MINUS = "\N{MINUS SIGN}"
GAP = "\N{NO-BREAK SPACE}"


def spoken(name: str) -> str:
    """The name of an augmentation as words."""
    return name.replace("_", " ")


def quantity(value: float, unit: str = "") -> str:
    """A number as text, without its unit: integers and numbers from 1,000 upwards without decimals, decibels and
    percent with one decimal, others with three digits."""
    if isinstance(value, int) or abs(value) >= 999.5:
        text = f"{value:,.0f}"
    elif unit in ("dB", "%"):
        text = f"{value:.1f}".removesuffix(".0") if abs(value) >= 0.095 else f"{value:.1g}"
    else:
        text = f"{value:.3g}"
    return "0" if text == "-0" else text.replace("-", MINUS)


def value_in_words(key: str, value: Any) -> tuple[str, str]:
    """What a key names, and its value with the unit.

    Args:
        key: such as "gain_db" or "slope_db_per_octave"; its end is the unit.
        value: number, text, path, or a list of them.

    Returns:
        Label and value, as ("gain", "−3.2 dB"); the label is empty where the key is nothing but the unit.
    """
    words = key.split("_")
    values = value if isinstance(value, list) else [value]
    unit = ""
    if words[-1] == "partner":  # the row of the clip that is mixed in
        return " ".join([*words, "crop"]), _joined([row + 1 for row in values], "")
    if words[-2:] == ["amplitude", "ratio"]:
        words, values, unit = words[:-1], [20 * math.log10(one) for one in values], "dB"
    elif words[-2:-1] == ["per"] and words[-3] in UNITS:
        words, unit = words[:-3], f"{UNITS[words[-3]]} per {words[-1]}"
    elif words[-1] in UNITS:
        words, unit = words[:-1], UNITS[words[-1]]
    elif words[-1] == "share":
        values, unit = [100 * one for one in values], "%"
    return " ".join(words), _joined(values, unit)


def _joined(values: list[Any], unit: str) -> str:
    text = ", ".join(_text(one, unit) for one in values) or "none"
    if text in ("1", f"{MINUS}1") and unit in ("bits", "semitones"):
        unit = unit[:-1]
    return f"{text}{'' if unit in ('', '°') else GAP}{unit}"


def _text(value: Any, unit: str) -> str:
    if isinstance(value, int | float):
        return quantity(value, unit)
    return printable(value.name if isinstance(value, Path) else str(value))


def numbers_of_row(parameters: Any, row: int) -> dict[str, Any]:
    """The drawn parameters of one example as plain numbers.

    Args:
        parameters: a dataclass of tensors whose first axis is B; those that have a value for each bin are left out.
        row: of the batch.
    """
    tensors = {field.name: getattr(parameters, field.name) for field in dataclasses.fields(parameters)}
    return {name: tensor[row].tolist() for name, tensor in tensors.items() if tensor.ndim <= 2}


def in_hz_and_seconds(name: str, numbers: Mapping[str, Any], log_mel: LogMel) -> dict[str, Any]:
    """Convert bands to Hz, and frames and samples to seconds.

    Mel bands are equally wide in mel and not in Hz, so a distance in bands is converted around the middle band.

    Args:
        name: of the augmentation.
        numbers: drawn numbers or configured ranges by key.
        log_mel: front end of the run.
    """
    from librosa import hz_to_mel, mel_to_hz

    htk = log_mel.config.mel_scale == "htk"
    mels = hz_to_mel(np.array(log_mel.band_centres_hz), htk=htk)
    bands, rate_hz = len(mels), log_mel.config.sample_rate_hz
    hop_seconds = log_mel.config.hop_samples / rate_hz

    def hz(band: float) -> float:
        """Lower edge of a band; padding of a crop reaches beyond the bands."""
        mel = mels[0] + (mels[-1] - mels[0]) * (band - 0.5) / (bands - 1)
        return max(0.0, float(mel_to_hz(mel, htk=htk)))

    def frequencies(start: float, width: float) -> str:
        return f"{quantity(hz(start))} to {quantity(hz(start + width))}{GAP}Hz"

    def times(start: float, width: float) -> str:
        return f"{quantity(start * hop_seconds)} to {quantity((start + width) * hop_seconds)}{GAP}s"

    match numbers:
        case {"starts": starts, "widths": widths}:
            span = frequencies if name == "frequency_mask" else times
            return {"mask": [span(*mask) for mask in zip(starts, widths, strict=True) if mask[1]]}
        case {"first_band": band, "bands": height, "first_frame": frame, "frames": width}:
            return {"crop": [frequencies(band, height), times(frame, width)]}
    converted = {}
    for key, value in numbers.items():
        what, _, unit = key.rpartition("_")
        match unit:
            case "bands":
                converted[f"{what}_hz"] = hz((bands + value) / 2) - hz((bands - value) / 2)
            case "frames":
                converted[f"{what}_seconds"] = value * hop_seconds
            case "samples":
                converted[f"{what}_seconds"] = value / rate_hz
            case _:
                converted[key] = value
    return converted


def applied_in_words(name: str, numbers: Mapping[str, Any]) -> str:
    """The drawn numbers of one augmentation, as "−3.2 dB" or "head 8.7 dB, tail −8.2 dB".

    Args:
        name: of the augmentation; a single number of the same name gets no label.
        numbers: what was drawn, by key.
    """
    numbers = _numbered_together(numbers)
    parts = [value_in_words(key, value) for key, value in numbers.items()]
    if len(parts) == 1 and set(parts[0][0].split()) <= set(name.split("_")):
        return parts[0][1]
    lists = any(isinstance(value, list) for value in numbers.values())
    return ("; " if lists else ", ").join(f"{label} {value}".strip() for label, value in parts)


def _numbered_together(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Join keys that differ in a number only, as band_1_gain_db and band_2_gain_db, to a list: band_gain_db."""
    together: dict[str, list[Any]] = {}
    for key, value in numbers.items():
        together.setdefault(re.sub(r"_\d+(?=_)", "", key, count=1), []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in together.items()}


def ranges_in_words(ranges: Mapping[str, Any]) -> list[str]:
    """Ranges of an augmentation, the minimum and the maximum of one quantity in one text.

    Args:
        ranges: by key, as {"min_snr_db": 5.0, "max_snr_db": 40.0}.

    Returns:
        A text for each range, as "snr 5 to 40 dB"; in the order of the keys.
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
        named = {bound: value_in_words(key, value) for bound, value in bounds.items()}
        label = next(iter(named.values()))[0]
        match {bound: text for bound, (_, text) in named.items()}:
            case {"min": lowest, "max": highest} if lowest != highest:
                text = f"{_without_unit(lowest, highest)} to {highest}"
            case {"min": lowest, "max": _}:
                text = lowest
            case {"min": lowest}:
                text = f"at least {lowest}"
            case {"max": highest}:
                text = f"at most {highest}"
            case other:
                text = other["value"]
        texts.append(f"{label} {text}".strip())
    return texts


def _without_unit(lowest: str, highest: str) -> str:
    """The minimum without its unit if the maximum has the same one."""
    number, gap, unit = lowest.partition(GAP)
    return number if gap and highest.partition(GAP)[2] in (unit, unit + "s") else lowest


def purpose(docstring: str) -> str:
    """The first sentence of a docstring as plain text."""
    text = " ".join(docstring.partition("\n\n")[0].split()).replace("`", "").replace("+-", "±")
    sentence = re.match(r".*?\.(?=\s[A-Z])", text)
    return re.sub(r"(?<![\w-])-(?=\w)", MINUS, sentence[0] if sentence else text)
