from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.frequency_mask import FrequencyMask, FrequencyMaskConfig


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
