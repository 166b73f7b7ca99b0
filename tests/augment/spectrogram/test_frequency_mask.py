import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from augment.spectrogram.frequency_mask import FrequencyMask, FrequencyMaskConfig


def test_masks_are_those_of_a_loop_over_examples(log_mel: Tensor) -> None:
    mask = FrequencyMask(FrequencyMaskConfig(mask_count=3), 1.0)
    parameters = mask.draw(log_mel, Generator().manual_seed(0))
    expected = log_mel.clone()
    for example, starts, widths in zip(expected, parameters.starts, parameters.widths, strict=True):
        mean = example.mean()
        for start, width in zip(starts.tolist(), widths.tolist(), strict=True):
            example[start : start + width] = mean
    assert (expected != log_mel).any()
    torch.testing.assert_close(mask.apply(log_mel, parameters), expected)


def test_one_mask_hides_up_to_its_share_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=500)
    mask = FrequencyMask(FrequencyMaskConfig(mask_count=1, max_share=0.25), 2.0)
    hidden = (mask(log_mel, Generator().manual_seed(0))[0] != log_mel).all(dim=2).sum(dim=1)
    assert hidden.min() == 0
    assert hidden.max() == 32


def test_the_range_ends_at_a_share_of_nine_tenths() -> None:
    assert FrequencyMask(FrequencyMaskConfig(max_share=0.5), 2.0).max_share == 0.9


def test_something_always_stays_under_one_mask(log_mel: Tensor) -> None:
    mask = FrequencyMask(FrequencyMaskConfig(mask_count=1, max_share=0.9), 4.0)
    widths = mask.draw(log_mel, Generator().manual_seed(0)).widths
    assert widths.max() < log_mel.shape[1]


@pytest.mark.parametrize("nothing", [{"mask_count": 0}, {"max_share": 0.0}])
def test_no_masks_change_nothing(nothing: dict[str, float], log_mel: Tensor) -> None:
    mask = FrequencyMask(FrequencyMaskConfig.model_validate(nothing), 1.0)
    assert torch.equal(mask(log_mel, Generator())[0], log_mel)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_share", 0.95),
        ("max_share", -0.1),
        ("max_share", math.nan),
        ("mask_count", -1),
        ("mask_count", 1.5),
    ],
)
def test_an_invalid_value_is_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        FrequencyMaskConfig.model_validate({key: value})
