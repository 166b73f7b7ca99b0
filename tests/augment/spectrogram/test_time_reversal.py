import math

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from echopair.augment.spectrogram.time_reversal import TimeReversalConfig


@pytest.mark.parametrize("strength", [0.1, 1.0, 4.0])
def test_the_last_frame_comes_first_whatever_the_strength(strength: float, log_mel: Tensor) -> None:
    reversed_, _ = TimeReversalConfig().build(strength)(log_mel, Generator())
    for frame in range(96):
        assert torch.equal(reversed_[:, :, frame], log_mel[:, :, 95 - frame])


def test_twice_reversed_is_as_before(log_mel: Tensor) -> None:
    reversal = TimeReversalConfig().build(1.0)
    assert torch.equal(reversal(reversal(log_mel, Generator())[0], Generator())[0], log_mel)


def test_the_strength_scales_how_often_it_is_done_up_to_always() -> None:
    shares = [TimeReversalConfig(probability=0.4).share_of_views(strength) for strength in (0, 0.5, 1, 2, 4)]
    assert shares == pytest.approx([0, 0.2, 0.4, 0.8, 1])


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_an_invalid_probability_is_refused_by_name(probability: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        TimeReversalConfig(probability=probability)
