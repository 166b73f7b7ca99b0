"""Which augmentations there are, and what a policy makes of them, in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from echopair.augment.policy import AugmentConfig, RandomConfig, augmentations_of, build_policy
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice
from echopair.pipeline.augmentation_page.views import Augmentation
from echopair.pipeline.augmentation_page.wording import GAP, quantity, ranges_in_words, spoken

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def other_augmentations(
    listed: Sequence[Augmentation], sample_rate_hz: int
) -> tuple[list[Augmentation], list[tuple[str, str]]]:
    """Every augmentation that is not in a list, with its default ranges.

    Args:
        listed: those of the policy.
        sample_rate_hz: of the crops.

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
                augmentation.check(sample_rate_hz)
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
        ranges = _ranges_in_words(augmentation, strength)
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


def _ranges_in_words(augmentation: Augmentation, strength: float) -> str:
    if strength == 0:
        return "changes nothing"
    configured = configured_ranges(augmentation)
    words = "; ".join(ranges_in_words(configured)) or "no range"
    return words if strength == 1 or not configured else f"scaled from {words} at strength 1"
