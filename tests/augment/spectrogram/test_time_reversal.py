import math

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.time_reversal import TimeReversalConfig
from tests.augment.invalid import assert_invalid


def test_the_last_frame_comes_first_whatever_the_strength(log_mel: Tensor) -> None:
    for strength in [0.1, 1.0, 4.0]:
        reversed_, _ = TimeReversalConfig().build(strength)(log_mel, Generator())
        for frame in range(96):
            assert torch.equal(reversed_[:, :, frame], log_mel[:, :, 95 - frame]), strength


def test_twice_reversed_is_as_before(log_mel: Tensor) -> None:
    reversal = TimeReversalConfig().build(1.0)
    assert torch.equal(reversal(reversal(log_mel, Generator())[0], Generator())[0], log_mel)


def test_the_strength_scales_how_often_it_is_done_up_to_always() -> None:
    shares = [TimeReversalConfig(probability=0.4).share_of_views(strength) for strength in (0, 0.5, 1, 2, 4)]
    assert shares == pytest.approx([0, 0.2, 0.4, 0.8, 1])


def test_invalid_probabilities_are_refused_by_name() -> None:
    assert_invalid(
        TimeReversalConfig,
        ("probability", -0.1),
        ("probability", 1.1),
        ("probability", math.nan),
    )
