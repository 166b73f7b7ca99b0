"""Base class of configs with ranges of which both ends are configured."""

from typing import Self

from pydantic import model_validator

from echopair.augment.waveform.augmentation import WaveformConfig


class RangedConfig(WaveformConfig, frozen=True, extra="forbid"):
    """A config whose fields `min_...` and `max_...` are the ends of ranges."""

    @model_validator(mode="after")
    def _ends_are_in_order(self) -> Self:
        for key in type(self).model_fields:
            if key.startswith("min_"):
                _check_order(self, key, key.replace("min_", "max_", 1))
        return self


def _check_order(config: WaveformConfig, low: str, high: str) -> None:
    if getattr(config, low) > getattr(config, high):
        raise ValueError(
            f"{low}={getattr(config, low):g} is above {high}={getattr(config, high):g}: "
            f"lower {low} or raise {high}"
        )


def within(value: float, lowest: float, highest: float) -> float:
    """Clip a value to a range."""
    return min(max(value, lowest), highest)
