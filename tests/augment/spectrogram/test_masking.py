import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.frequency_mask import FrequencyMaskConfig
from echopair.augment.spectrogram.masking import MaskParameters, draw_masks, masked_bins
from echopair.augment.spectrogram.time_mask import TimeMaskConfig
from tests.augment.invalid import assert_invalid

both = pytest.mark.parametrize("config", [TimeMaskConfig, FrequencyMaskConfig])
MaskChoice = type[TimeMaskConfig] | type[FrequencyMaskConfig]


def test_masked_bins_are_those_of_a_loop() -> None:
    starts = torch.tensor([[0, 4], [2, 3], [7, 0]])
    widths = torch.tensor([[2, 3], [0, 4], [1, 8]])
    masked = masked_bins(MaskParameters(starts, widths), length=8)
    for example in range(3):
        for position in range(8):
            under = any(
                start <= position < start + width
                for start, width in zip(starts[example].tolist(), widths[example].tolist(), strict=True)
            )
            assert masked[example, position].item() is under


def test_every_width_and_position_occurs_within_the_axis() -> None:
    masks = draw_masks(2, 0.35, torch.zeros(3000, 10, 1), 1, Generator().manual_seed(0))
    assert masks.starts.shape == masks.widths.shape == (3000, 2)
    assert set(masks.widths.flatten().tolist()) == {0, 1, 2, 3}
    for width in range(4):
        assert set(masks.starts[masks.widths == width].tolist()) == set(range(10 - width + 1))


def test_the_axis_is_the_one_named() -> None:
    wide = torch.zeros(500, 4, 100)
    assert draw_masks(1, 0.5, wide, 1, Generator().manual_seed(0)).widths.max() == 2
    assert draw_masks(1, 0.5, wide, 2, Generator().manual_seed(0)).widths.max() == 50


@both
def test_masks_are_those_of_a_loop_over_examples(config: MaskChoice, log_mel: Tensor) -> None:
    mask = config(mask_count=3).build(1.0)
    parameters = mask.draw(log_mel, Generator().manual_seed(0))
    expected = log_mel.clone()
    for example, starts, widths in zip(expected, parameters.starts, parameters.widths, strict=True):
        mean = example.mean()
        for start, width in zip(starts.tolist(), widths.tolist(), strict=True):
            example.narrow(mask.axis - 1, start, width).fill_(mean)
    assert (expected != log_mel).any()
    torch.testing.assert_close(mask.apply(log_mel, parameters), expected)


@pytest.mark.parametrize(("config", "widest"), [(TimeMaskConfig, 48), (FrequencyMaskConfig, 32)])
def test_one_mask_hides_up_to_its_share_scaled_by_the_strength(
    config: MaskChoice, widest: int, make_log_mel: Callable[..., Tensor]
) -> None:
    log_mel = make_log_mel(batch=500)
    mask = config(mask_count=1, max_share=0.25).build(2.0)
    changed = mask(log_mel, Generator().manual_seed(0))[0] != log_mel
    hidden = changed.all(dim=3 - mask.axis).sum(dim=1)
    assert hidden.min() == 0
    assert hidden.max() == widest


@both
def test_the_range_ends_at_a_share_of_nine_tenths(config: MaskChoice) -> None:
    assert config(max_share=0.5).build(2.0).max_share == 0.9


@both
def test_something_always_stays_under_one_mask(config: MaskChoice, log_mel: Tensor) -> None:
    mask = config(mask_count=1, max_share=0.9).build(4.0)
    widths = mask.draw(log_mel, Generator().manual_seed(0)).widths
    assert widths.max() < log_mel.shape[mask.axis]


@both
def test_no_masks_change_nothing(config: MaskChoice, log_mel: Tensor) -> None:
    for nothing in [{"mask_count": 0}, {"max_share": 0.0}]:
        mask = config.model_validate(nothing).build(1.0)
        assert torch.equal(mask(log_mel, Generator())[0], log_mel), nothing


@both
def test_invalid_values_are_refused_by_name(config: MaskChoice) -> None:
    assert_invalid(
        config,
        ("max_share", 0.95),
        ("max_share", -0.1),
        ("max_share", math.nan),
        ("mask_count", -1),
        ("mask_count", 1.5),
    )
