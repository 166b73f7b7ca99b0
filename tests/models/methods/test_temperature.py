import math

import pytest
import torch
from pydantic import ValidationError

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.methods import Batch, LearningData, SimCLRConfig
from echopair.models.methods.projection_loss import ProjectionLoss
from echopair.models.methods.temperature import current_temperature
from echopair.models.projection import ProjectionConfig


def config(temperature: float = 0.2, **change: object) -> SimCLRConfig:
    return SimCLRConfig.model_validate(
        {"temperature": temperature, "temperature_change": change or {"name": "fixed"}}
    )


def method(config: SimCLRConfig) -> ProjectionLoss:
    torch.manual_seed(0)
    return config.build(
        build_encoder(ResNetConfig(width=8, blocks=(1,))), ProjectionConfig(projection_dim=8), LearningData()
    )


def batch() -> Batch:
    views = [torch.randn(6, 1, 16, 32, generator=torch.Generator().manual_seed(view)) for view in range(2)]
    return Batch(views, torch.arange(6), None, torch.Generator())


def test_a_fixed_one_is_that_of_the_config() -> None:
    assert config().at(3, 10) == SimCLRConfig()
    assert "temperature" not in method(SimCLRConfig()).modules
    assert "temperature" not in method(SimCLRConfig()).training_step(batch()).metrics()


def test_a_schedule_goes_along_a_cosine() -> None:
    once = config(0.2, name="cosine", last=0.1)
    assert [once.at(step, 5).temperature for step in (0, 2, 4)] == pytest.approx([0.2, 0.15, 0.1])
    assert once.at(1, 5).temperature == pytest.approx(0.15 + 0.05 * math.cos(math.pi / 4))
    back = config(0.2, name="cosine", last=1.0, half_periods=2)
    assert [back.at(step, 5).temperature for step in (0, 2, 4)] == pytest.approx([0.2, 1.0, 0.2])
    assert once.at(0, 1).temperature == 0.2


def test_the_loss_of_a_step_is_that_at_its_temperature() -> None:
    scheduled = method(config(0.2, name="cosine", last=0.1))
    scheduled.config = scheduled.config.at(4, 5)
    loss, metrics = scheduled.training_step(batch())
    assert torch.equal(loss, method(config(0.1)).training_step(batch()).loss)
    assert metrics()["temperature"] == pytest.approx(0.1)


def test_a_learned_one_starts_as_given_and_is_trained() -> None:
    learned = method(config(0.2, name="learned"))
    loss, metrics = learned.training_step(batch())
    torch.testing.assert_close(loss, method(config(0.2)).training_step(batch()).loss)
    assert metrics()["temperature"] == pytest.approx(0.2)
    loss.backward()  # type: ignore[no-untyped-call]
    log_ratio = learned.modules["temperature"].get_parameter("log_ratio")
    assert log_ratio.grad is not None
    nearby = [method(config(0.2 * math.exp(h))).training_step(batch()).loss.item() for h in (-0.01, 0.01)]
    assert log_ratio.grad.item() == pytest.approx((nearby[1] - nearby[0]) / 0.02, rel=1e-2)


@pytest.mark.parametrize(("log_ratio", "expected"), [(-20.0, 0.05), (20.0, 0.4)])
def test_a_learned_one_stays_within_its_bounds_and_can_return(log_ratio: float, expected: float) -> None:
    learned = method(config(0.2, name="learned", lowest=0.05, highest=0.4))
    parameter = learned.modules["temperature"].get_parameter("log_ratio")
    parameter.data.fill_(log_ratio)
    loss, metrics = learned.training_step(batch())
    assert metrics()["temperature"] == pytest.approx(expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert parameter.grad is not None
    assert parameter.grad.item() != 0


def test_a_changed_temperature_changes_the_learned_one() -> None:
    learned = method(config(0.2, name="learned"))
    learned.modules["temperature"].get_parameter("log_ratio").data.fill_(math.log(2))
    learned.config = config(0.1, name="learned")
    temperature = current_temperature(learned)
    assert isinstance(temperature, torch.Tensor)
    assert temperature.item() == pytest.approx(0.2)


def test_a_start_out_of_the_bounds_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"objective.temperature=2 is not between .*highest=1; change one"
    ):
        config(2, name="learned")
