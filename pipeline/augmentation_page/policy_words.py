"""What a policy does, in words, and which augmentations it does not use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from echopair.augment.policy import AugmentConfig, RandomConfig, augmentations_of, build_policy
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice
from echopair.models.log_mel import LogMel
from echopair.pipeline.augmentation_page.views import Augmentation
from echopair.pipeline.augmentation_page.wording import (
    GAP,
    in_hz_and_seconds,
    quantity,
    ranges_in_words,
    spoken,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def other_augmentations(
    listed: Sequence[Augmentation], sample_rate_hz: int
) -> tuple[list[Augmentation], list[tuple[str, str]]]:
    """All augmentations that are not listed, with their default ranges.

    Args:
        listed: those of the policy.
        sample_rate_hz: of the crops.

    Returns:
        Those that this machine can build; and the names of the others, each with the reason.
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
    """The message of an error in one line."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(_complaint(".".join(map(str, one["loc"])), one) for one in error.errors())
    return " ".join(str(error).split())


def _complaint(key: str, complaint: "ErrorDetails") -> str:
    if complaint["type"] == "missing":
        return f"needs {key}, which has no default"
    return f"{key}: {complaint['msg']}" if key else complaint["msg"]


def configured_ranges(augmentation: Augmentation, log_mel: LogMel) -> str:
    """The ranges of an augmentation at strength 1 in words; empty if it has none."""
    ranges = augmentation.model_dump(exclude={"name", "probability"})
    return "; ".join(ranges_in_words(in_hz_and_seconds(augmentation.name, ranges, log_mel)))


def share_in_words(share: float) -> str:
    """A share of the views, as "20 %"; empty for all of them."""
    return "" if share == 1 else f"{quantity(100 * share)}{GAP}%"


class Line(NamedTuple):
    """An augmentation of a policy in words."""

    title: str
    ranges: str
    often: str


def policy_in_words(config: AugmentConfig, log_mel: LogMel) -> list[tuple[str, list[Line]]]:
    """What a policy does, at its strength.

    Args:
        config: policy and strength.
        log_mel: front end of the run.

    Returns:
        One or two groups: how the policy uses the augmentations of the group, and a line for each.
    """
    pool = config.policy.pool if isinstance(config.policy, RandomConfig) else ()
    augmentations: tuple[Augmentation, ...] = augmentations_of(config)
    policy = build_policy(config, log_mel.config.sample_rate_hz)
    built: dict[int, Any] = {**policy.waveform, **policy.spectrogram}
    lines = []
    for column, augmentation in enumerate(augmentations):
        strength = built[column].strength if column in built else 0.0
        ranges = _ranges_at(augmentation, strength, log_mel)
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


def _ranges_at(augmentation: Augmentation, strength: float, log_mel: LogMel) -> str:
    if strength == 0:
        return "changes nothing"
    ranges = configured_ranges(augmentation, log_mel)
    return (ranges or "no range") if strength == 1 or not ranges else f"scaled from {ranges} at strength 1"
