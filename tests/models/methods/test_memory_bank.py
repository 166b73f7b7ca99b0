import math

import pytest
import torch

from echopair.models.losses.normalise import l2_normalise
from echopair.models.methods.memory_bank import MemoryBankConfig
from tests.models.methods.trainings import SEGMENTS, batches, build


def test_a_step_compares_all_views_with_all_entries_and_then_moves_their_own() -> None:
    method = build(MemoryBankConfig(temperature=0.5, bank_momentum=0.25))
    before = method.modules["bank"].entries.clone()
    _, batch = next(batches(range(1), views=3))
    flat = torch.cat([*batch.views])
    z = l2_normalise(method.modules["projection"](method.encoder(flat))).unflatten(0, (3, 8))  # (V, N, P)
    logits = (z @ before.T / 0.5).log_softmax(2)  # (V, N, S)
    own = torch.stack([logits[:, n, segment] for n, segment in enumerate(batch.segments)])
    loss, metrics = method.training_step(batch)
    torch.testing.assert_close(loss, -own.mean())
    method.after_step(0, 1)
    found = (logits.argmax(2) == batch.segments).float().mean().item()
    assert metrics()["bank_top1"] == pytest.approx(found)  # among the entries before the step
    assert metrics()["bank_top1_chance_level"] == pytest.approx(1 / SEGMENTS)
    assert metrics()["loss_chance_level"] == math.log(SEGMENTS)

    after = method.modules["bank"].entries
    expected = before.clone()
    expected[batch.segments] = l2_normalise(0.25 * before[batch.segments] + 0.75 * z.mean(0).detach())
    torch.testing.assert_close(after, expected)


def test_noise_is_drawn_from_the_step_s_generator() -> None:
    losses = []
    for seed in (1, 1, 2):
        _, batch = next(batches(range(1)))
        batch.generator.manual_seed(seed)
        losses.append(build(MemoryBankConfig(negatives=5)).training_step(batch).loss)
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
