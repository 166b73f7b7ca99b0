"""What all methods share that keep something from step to step, or have no negatives."""

import io

import pytest
import torch

from echopair.models.methods import MethodConfig
from echopair.models.methods.byol import BYOLConfig
from echopair.models.methods.memory_bank import MemoryBankConfig
from echopair.models.methods.mochi import MoCHiConfig
from echopair.models.methods.moco import MoCoConfig
from echopair.models.methods.simsiam import SimSiamConfig
from echopair.models.methods.temperature import LearnedTemperatureConfig
from tests.models.methods.trainings import batches, build, sgd, train

CONFIGS = [
    MemoryBankConfig(),
    MemoryBankConfig(negatives=10),
    MoCoConfig(queue_keys=20, temperature_change=LearnedTemperatureConfig()),
    MoCHiConfig(queue_keys=20, hardest=6, mixed=8, mixed_with_query=4),
    BYOLConfig(),
    SimSiamConfig(),
]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)


@every_config
def test_a_restored_method_goes_on_bit_for_bit(config: MethodConfig) -> None:
    method = build(config)
    optimiser = sgd(method)
    train(method, optimiser, 3)
    file = io.BytesIO()
    torch.save([method.modules.state_dict(), optimiser.state_dict()], file)
    expected = train(method, optimiser, 6, first=3)

    file.seek(0)
    restored = build(config)
    optimiser = sgd(restored)
    for part, state in zip((restored.modules, optimiser), torch.load(file), strict=True):
        part.load_state_dict(state)
    for one, other in zip(train(restored, optimiser, 6, first=3), expected, strict=True):
        assert torch.equal(one.loss, other.loss)
        assert one.metrics() == other.metrics()
    for one, other in zip(
        restored.modules.state_dict().values(), method.modules.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@every_config
def test_twenty_steps_lower_the_loss_and_show_no_collapse(config: MethodConfig) -> None:
    method = build(config)
    train(method, sgd(method, 0), 3)  # fills the queue, whose random keys are too easy
    outputs = train(method, sgd(method), 24, first=3)
    assert outputs[-1].loss < outputs[0].loss - 0.05
    metrics = outputs[-1].metrics()
    assert method.collapse(metrics) is None


@every_config
def test_the_step_is_finite_under_bfloat16_autocast(config: MethodConfig) -> None:
    method = build(config)
    for _, batch in batches(range(2)):
        with torch.autocast("cpu", torch.bfloat16):
            loss, metrics = method.training_step(batch)
        assert loss.dtype == torch.float32
        loss.backward()
        method.after_step(0, 2)
        assert all(abs(value) < 1e4 for value in metrics().values())
    for parameter in method.modules.parameters():
        assert parameter.requires_grad == (parameter.grad is not None)
        assert parameter.grad is None or parameter.grad.isfinite().all()


@every_config
def test_advice_names_keys_that_exist(config: MethodConfig) -> None:
    for advice in (config.DIVERGED_ADVICE, config.COLLAPSED_ADVICE):
        for word in advice.replace(",", " ").split():
            if word.startswith("objective.") and "=" not in word:
                assert word.removeprefix("objective.") in type(config).model_fields
    assert set(config.CHANGEABLE) <= set(type(config).model_fields)
