"""The strength of augmentation: 0 changes nothing, 1 keeps the configured ranges, above 1 widens them.

Each augmentation scales its configured limits by the functions here when it is built. All of them grow with
the strength, from "no change" at 0 through the configured value at 1 to the last valid value.
"""

import math
from typing import Annotated

from pydantic import Field

# Beyond four times the defaults most ranges have reached their last valid value, and views lose their clip.
MAX_STRENGTH = 4.0

Strength = Annotated[
    float,
    Field(
        ge=0,
        le=MAX_STRENGTH,
        description="how strongly views are augmented: 0 not at all, 1 as configured, above 1 more than that",
    ),
]


def check_strength(strength: float) -> float:
    """Validate a strength and return it.

    Args:
        strength: 0 (no change) to MAX_STRENGTH; 1 keeps the configured ranges.

    Raises:
        ValueError: it is negative, too large or not a number.
    """
    if not 0 <= strength <= MAX_STRENGTH:
        raise ValueError(f"strength must be from 0 to {MAX_STRENGTH:g}, not {strength}: 1 is the default")
    return strength


def scale_limit(limit: float, strength: float, highest: float = math.inf) -> float:
    """A limit whose neutral value is 0 (decibels, shares): proportional to the strength.

    Args:
        limit: the configured value, >= 0, reached at strength 1.
        strength: 0 to MAX_STRENGTH.
        highest: the largest valid value, at which the result is clipped.

    Returns:
        0 to `highest`, in the unit of `limit`.
    """
    return min(limit * strength, highest)


def scale_ratio(ratio: float, strength: float) -> float:
    """A ratio whose neutral value is 1 (sizes, rates): its logarithm is proportional to the strength.

    So a ratio stays positive at any strength, and 1/2 moves as far from 1 as 2 does.

    Args:
        ratio: the configured value, > 0, reached at strength 1.
        strength: 0 to MAX_STRENGTH.

    Returns:
        A ratio > 0; 1 at strength 0.
    """
    return float(ratio**strength)


def scale_between(neutral: float, configured: float, strength: float) -> float:
    """A value on a geometric path (cutoffs in Hz): equal steps of strength multiply it by equal factors.

    Args:
        neutral: > 0, the value at strength 0, which changes nothing.
        configured: > 0, reached at strength 1; above 1 the path continues beyond it.
        strength: 0 to MAX_STRENGTH.

    Returns:
        A value > 0 in the unit of both; exactly `neutral` at strength 0 and `configured` at 1.
    """
    return float(neutral ** (1 - strength) * configured**strength)
