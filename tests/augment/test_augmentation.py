import math
from typing import Literal

import pytest
from pydantic import ValidationError

from echopair.augment.augmentation import AllOrNothingConfig, AugmentationConfig


class Ranged(AugmentationConfig, frozen=True):
    name: Literal["ranged"] = "ranged"


class Done(AllOrNothingConfig, frozen=True):
    name: Literal["done"] = "done"


def test_the_share_of_a_range_is_as_configured_wherever_anything_is_done() -> None:
    for strength, share in [(0.0, 0.0), (0.1, 0.3), (1.0, 0.3), (4.0, 0.3)]:
        assert Ranged(probability=0.3).share_of_views(strength) == share, (strength, share)


def test_without_a_range_the_share_grows_with_the_strength_up_to_all() -> None:
    for strength, share in [(0.0, 0.0), (0.5, 0.2), (1.0, 0.4), (2.0, 0.8), (4.0, 1.0)]:
        assert Done(probability=0.4).share_of_views(strength) == pytest.approx(share), (strength, share)


@pytest.mark.parametrize("config", [Ranged, Done])
@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_an_invalid_probability_is_refused_by_name(
    config: type[AugmentationConfig], probability: float
) -> None:
    with pytest.raises(ValidationError, match="probability"):
        config(probability=probability)
