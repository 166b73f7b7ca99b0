"""Which augmentations there are, and what a policy makes of them, in words."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from augment.policy import AugmentConfig, RandomConfig, augmentations_of, build_policy
from augment.spectrogram import SpectrogramChoice
from augment.spectrogram.augmentation import SpectrogramConfig
from augment.waveform import WaveformChoice
from augment.waveform.augmentation import WaveformConfig
from pipeline.augmentation_page.views import Augmentation
from pipeline.augmentation_page.wording import GAP, quantity, ranges_in_words, spoken

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def other_augmentations(
    listed: Sequence[Augmentation],
) -> tuple[list[Augmentation], list[tuple[str, str]]]:
    """Every augmentation that is not in a list, with its default ranges.

    Args:
        listed: those of the policy.

    Returns:
        Those that can be had on this machine; and the names of the others, with the reason.
    """
    known = {type(one) for one in listed}
    ready, missing = [], []
    for family in (WaveformChoice, SpectrogramChoice):
        for choice in get_args(family) or (family,):
            if choice in known:
                continue
            try:
                augmentation: Augmentation = choice()
                augmentation.check()
            except (ValueError, ImportError, OSError) as error:
                missing.append((str(choice.model_fields["name"].default), reason_of(error)))
            else:
                ready.append(augmentation)
    return ready, missing


def reason_of(error: Exception) -> str:
    """An error in one line, as people need it."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(_complaint(".".join(map(str, one["loc"])), one) for one in error.errors())
    return " ".join(str(error).split())


def _complaint(key: str, complaint: "ErrorDetails") -> str:
    if complaint["type"] == "missing":
        return f"needs {key}, which has no default"
    return f"{key}: {complaint['msg']}" if key else complaint["msg"]


def configured_ranges(augmentation: Augmentation) -> dict[str, Any]:
    """The ranges of an augmentation at strength 1, by key."""
    return augmentation.model_dump(exclude={"name", "probability"})


def scaled_ranges(augmentation: Augmentation, strength: float, sample_rate_hz: int) -> dict[str, Any] | None:
    """The ranges of an augmentation at a strength, by key, where they can be read back from what is built.

    That is so where it keeps a number for every key of the config, under the same words; None for one that
    scales its draws in some other way, and tells no range.

    Args:
        augmentation: its config.
        strength: above 0.
        sample_rate_hz: of the crops.
    """
    configured = configured_ranges(augmentation)
    if strength == 1 or not configured:
        return configured
    match augmentation:
        case WaveformConfig():
            built: Any = augmentation.transform(strength, sample_rate_hz)
            if not type(built).__module__.startswith("audiomentations."):
                return None
        case SpectrogramConfig():
            built = augmentation.build(strength)
    found = {key: _kept_as(key, _numbers_within(built)) for key in configured}
    return None if None in found.values() else found


def _kept_as(key: str, numbers: dict[str, float]) -> float | None:
    """The number that goes by the words of a key, "max_gain_db", or else the only one by some of them, "max_db"."""
    words = frozenset(key.split("_"))
    by_words = {frozenset(name.split("_")): number for name, number in numbers.items()}
    if words in by_words:
        return by_words[words]
    # What is left out may only be what the number is of, neither its bound nor its unit.
    needed = (words & {"min", "max"}) | {key.rsplit("_", maxsplit=1)[-1]}
    parts = [number for name, number in by_words.items() if len(needed) > 1 and needed <= name < words]
    return parts[0] if len(parts) == 1 else None


def _numbers_within(built: Any) -> dict[str, float]:
    """Public numbers that an object holds, those of inner dataclasses under both names."""
    numbers: dict[str, float] = {}
    for key, value in vars(built).items():
        if key.startswith("_"):
            continue
        if dataclasses.is_dataclass(value):
            numbers |= {f"{key}_{name}": one for name, one in _numbers_within(value).items()}
        elif isinstance(value, int | float):
            numbers[key] = value
    return numbers


def share_in_words(share: float) -> str:
    """A share of the views: "20 %"; empty for all of them."""
    return "" if share == 1 else f"{quantity(100 * share)}{GAP}%"


class Line(NamedTuple):
    """An augmentation of a policy in words."""

    title: str
    ranges: str
    often: str


def policy_in_words(config: AugmentConfig, sample_rate_hz: int) -> list[tuple[str, list[Line]]]:
    """What a policy does, at its strength.

    Args:
        config: policy and strength.
        sample_rate_hz: of the crops.

    Returns:
        One or two parts: how the augmentations of the part are used, and a line for each.
    """
    pool = config.policy.pool if isinstance(config.policy, RandomConfig) else ()
    augmentations: tuple[Augmentation, ...] = augmentations_of(config)
    policy = build_policy(config, sample_rate_hz)
    built: dict[int, Any] = {**policy.waveform, **policy.spectrogram}
    lines = []
    for column, augmentation in enumerate(augmentations):
        strength = built[column].strength if column in built else 0.0
        ranges = _ranges_in_words(augmentation, strength, sample_rate_hz)
        if strength not in (0.0, config.strength):
            ranges = f"strength {quantity(strength)}: {ranges}"
        share = share_in_words(augmentation.share_of_views(strength))
        often = f"in {share} of the views" if share else "in every view"
        if column < len(pool):
            often = f"{often} that draw it" if share else "whenever drawn"
        if strength == 0:
            often = "never"
        lines.append(Line(spoken(augmentation.name), ranges, often))
    parts = [("Each view gets", lines[len(pool) :])]
    if isinstance(config.policy, RandomConfig):
        drawn = f"Each view gets {config.policy.operations:,} of these {len(pool):,}, drawn anew"
        parts = [(drawn, lines[: len(pool)]), ("and all of these", lines[len(pool) :])]
    return [(use, of_part) for use, of_part in parts if of_part]


def _ranges_in_words(augmentation: Augmentation, strength: float, sample_rate_hz: int) -> str:
    if strength == 0:
        return "changes nothing"
    scaled = scaled_ranges(augmentation, strength, sample_rate_hz)
    if scaled is None:
        return f"scaled from {'; '.join(ranges_in_words(configured_ranges(augmentation)))} at strength 1"
    return "; ".join(ranges_in_words(scaled)) or "no range"
