import torch
from torch import Generator

from echopair.augment.spectrogram.shifting import draw_shifts


def test_every_whole_shift_of_the_range_occurs_in_both_directions() -> None:
    shifts = draw_shifts(0.3, torch.zeros(3000, 10, 1), 1, Generator().manual_seed(0))
    assert shifts.dtype == torch.int64
    assert set(shifts.tolist()) == {-3, -2, -1, 0, 1, 2, 3}


def test_the_axis_is_the_one_named() -> None:
    wide = torch.zeros(2000, 4, 100)
    assert draw_shifts(0.5, wide, 1, Generator().manual_seed(0)).abs().max() == 2
    assert draw_shifts(0.5, wide, 2, Generator().manual_seed(0)).abs().max() == 50
