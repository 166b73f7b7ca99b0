import dataclasses
import math

import pytest
import torch

from echopair.models.losses.normalise import l2_normalise
from echopair.models.methods.mochi import MoCHiConfig
from echopair.models.methods.moco import MoCoConfig
from tests.models.methods.trainings import batches, build


def test_a_step_is_algorithm_1() -> None:
    """Loss by the paper's pseudocode, without keys of the query's own segment; then momentum and queue."""
    method = build(MoCoConfig(queue_keys=10, temperature=0.5, momentum=0.9))
    queue = method.modules["queue"]
    for step, batch in batches(range(2)):
        keys_before, of = queue.keys.clone(), queue.sources.clone()
        key_weights = [p.clone() for p in method.modules["momentum"].parameters()]
        q = l2_normalise(method.modules["projection"](method.encoder(batch.views[0])))
        k = l2_normalise(method.modules["momentum"](batch.views[1]))
        expected = 0.0
        for n in range(8):
            negatives = [j for j in range(10) if of[j] != batch.segments[n]]
            logits = torch.cat([(q[n] @ k[n])[None], keys_before[negatives] @ q[n]]) / 0.5
            expected -= logits.log_softmax(0)[0].item() / 8
        loss, metrics = method.training_step(batch)
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        compared = [1 + (of != segment).sum().item() for segment in batch.segments]
        assert step == 0 or min(compared) < 11  # some keys were those of the query's own segment
        method.after_step(step, 2)
        assert metrics()["loss_chance_level"] == pytest.approx(sum(map(math.log, compared)) / 8)
        assert metrics()["queue_top1_chance_level"] == pytest.approx(
            sum(1 / number for number in compared) / 8
        )

        torch.testing.assert_close(queue.keys[(8 * step + torch.arange(8)) % 10], k)
        trained = [*method.encoder.parameters(), *method.modules["projection"].parameters()]
        for own, before, query in zip(
            method.modules["momentum"].parameters(), key_weights, trained, strict=True
        ):
            torch.testing.assert_close(own, 0.9 * before + 0.1 * query)


def test_keys_of_the_query_s_recording_may_be_no_negatives() -> None:
    method = build(MoCoConfig(queue_keys=10, ignore_same_recording=True))
    for step, batch in batches(range(2)):
        recordings = batch.segments // 2  # type: ignore[operator]
        of = method.modules["queue"].sources.clone()
        metrics = method.training_step(dataclasses.replace(batch, recordings=recordings)).metrics()
        compared = [1 + (of != recording).sum().item() for recording in recordings]
        assert metrics["loss_chance_level"] == pytest.approx(sum(map(math.log, compared)) / 8)
        method.after_step(step, 2)


def test_the_head_is_that_of_v2() -> None:
    kinds = [type(module) for module in build(MoCoConfig()).modules["projection"]]
    assert kinds == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]


def test_without_mixing_mochi_is_moco() -> None:
    _, batch = next(batches(range(1)))
    mixing_none = build(MoCHiConfig(mixed=0, mixed_with_query=0)).training_step(batch)
    assert torch.equal(mixing_none.loss, build(MoCoConfig()).training_step(batch).loss)


def test_mixed_negatives_make_the_task_harder() -> None:
    _, batch = next(batches(range(1)))
    mochi = build(MoCHiConfig(queue_keys=64, hardest=8, mixed=16, mixed_with_query=8)).training_step(batch)
    assert mochi.loss > build(MoCoConfig(queue_keys=64)).training_step(batch).loss
    assert mochi.metrics()["loss_chance_level"] == pytest.approx(math.log(1 + 64 + 16 + 8))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            MoCoConfig(queue_keys=20),
            "objective.queue_keys=20 is less than pretrain.batch_pairs=32.*set .*=32 or more",
        ),
        (MoCHiConfig(queue_keys=40, hardest=41), "objective.hardest=41 .* set objective.hardest=40 or less"),
    ],
)
def test_a_queue_that_is_too_short_is_refused(config: MoCoConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.check_batch(32, 2, "two_offsets")
