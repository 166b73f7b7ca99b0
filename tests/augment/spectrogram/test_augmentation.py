import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.augmentation import LOG_POWER_PER_DECIBEL, example_mean, take, uniform
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.masking import MaskParameters

CPU = torch.device("cpu")


def test_uniform_numbers_fill_their_range() -> None:
    numbers = uniform(-2.0, 6.0, (4000,), Generator().manual_seed(0), CPU)
    assert numbers.dtype == torch.float32
    assert -2 <= numbers.min() < -1.9
    assert 5.9 < numbers.max() <= 6
    assert numbers.mean().item() == pytest.approx(2.0, abs=0.2)


def test_a_degenerate_range_gives_its_only_value() -> None:
    numbers = uniform(0.3, 0.3, (100,), Generator().manual_seed(0), CPU)
    assert torch.equal(numbers, torch.full((100,), 0.3))


def test_ten_decibels_are_ten_times_the_power() -> None:
    assert torch.tensor(10 * LOG_POWER_PER_DECIBEL).exp().item() == pytest.approx(10)


def test_the_mean_is_each_examples_own(log_mel: Tensor) -> None:
    means = example_mean(log_mel)
    assert means.shape == (log_mel.shape[0], 1, 1)
    for mean, example in zip(means, log_mel, strict=True):
        assert mean.item() == pytest.approx(example.double().mean().item(), abs=1e-4)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(64, 96), torch.zeros(2, 1, 64, 96), torch.zeros(2, 64, 96, dtype=torch.float64)]
)
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_other_shapes_and_types_are_refused(wrong: Tensor, strength: float) -> None:
    with pytest.raises(ValueError, match=r"float32 of shape \(batch, bands, frames\)"):
        GainConfig().build(strength)(wrong, Generator())


def test_the_parameters_of_some_examples_are_their_rows_of_every_field() -> None:
    parameters = MaskParameters(torch.tensor([[1], [2], [3]]), torch.tensor([[4], [5], [6]]))
    taken = take(parameters, torch.tensor([2, 0]))
    assert isinstance(taken, MaskParameters)
    assert taken.starts.tolist() == [[3], [1]]
    assert taken.widths.tolist() == [[6], [4]]
