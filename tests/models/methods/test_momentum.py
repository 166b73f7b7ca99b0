import pytest
import torch
from torch import nn

from echopair.models.methods.key_queue import KeyQueue
from echopair.models.methods.momentum import momentum_copy, rising_momentum, update_average


def test_the_copy_moves_by_a_share_of_the_distance() -> None:
    layer, norm = nn.Linear(1, 1), nn.BatchNorm1d(1)
    copy = momentum_copy(layer, norm)
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    with torch.no_grad():
        layer.weight.fill_(3.0)
        copy[0].weight.fill_(1.0)
        norm.running_mean.fill_(5.0)
    update_average(copy, [layer, norm], 0.75)
    assert copy[0].weight.item() == 1.5  # 0.75 * 1 + 0.25 * 3
    update_average(copy, [layer, norm], 0.75)
    assert copy[0].weight.item() == 1.875
    assert layer.weight.item() == 3
    assert copy[1].running_mean.item() == 0  # statistics are those of its own batches


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.9), (50, 0.95), (75, 1 - 0.1 * (1 - 0.5**0.5) / 2)])
def test_the_momentum_rises_to_1_along_a_cosine(step: int, momentum: float) -> None:
    assert rising_momentum(0.9, step, 100) == pytest.approx(momentum, rel=1e-12)
    assert rising_momentum(0.9, 10**9, 10**9) == 1


def test_new_keys_replace_the_oldest() -> None:
    queue = KeyQueue(5, 2)
    assert queue.sources.tolist() == [-1] * 5
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(5))
    for first in (0, 2, 4):
        keys = torch.tensor([[first, 0], [first + 1, 0]], dtype=torch.float32)
        queue.add(keys, torch.tensor([10 + first, 11 + first]))
    assert queue.keys[:, 0].tolist() == [5, 1, 2, 3, 4]
    assert queue.sources.tolist() == [15, 11, 12, 13, 14]
    assert queue.oldest == 1
