import torch
from torch import Generator

from augment.spectrogram.masking import MaskParameters, draw_masks, masked_bins


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


def test_every_width_and_place_comes_up_and_none_leaves_the_axis() -> None:
    masks = draw_masks(2, 0.35, torch.zeros(3000, 10, 1), 1, Generator().manual_seed(0))
    assert masks.starts.shape == masks.widths.shape == (3000, 2)
    assert set(masks.widths.flatten().tolist()) == {0, 1, 2, 3}
    for width in range(4):
        assert set(masks.starts[masks.widths == width].tolist()) == set(range(10 - width + 1))


def test_the_axis_is_the_one_named() -> None:
    wide = torch.zeros(500, 4, 100)
    assert draw_masks(1, 0.5, wide, 1, Generator().manual_seed(0)).widths.max() == 2
    assert draw_masks(1, 0.5, wide, 2, Generator().manual_seed(0)).widths.max() == 50
