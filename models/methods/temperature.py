"""The temperature of an objective: fixed, on a schedule along the training, or learned.

A config with a temperature subclasses `TemperatureConfig`; its method gives `config.temperature_modules()` to
`Method.__init__` and divides by `current_temperature(self)`.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from echopair.lazy import torch
from echopair.models.methods.method import Method, MethodConfig, StepOutput


class FixedTemperatureConfig(BaseModel, frozen=True, extra="forbid"):
    """`objective.temperature` in all steps."""

    name: Literal["fixed"] = "fixed"


class CosineTemperatureConfig(BaseModel, frozen=True, extra="forbid"):
    """From `objective.temperature` in the first step along a cosine to another one.

    Source: Kukleva et al., Temperature Schedules for Self-Supervised Contrastive Methods on Long-Tail Data, ICLR 2023
    (the cosine schedule).
    """

    name: Literal["cosine"] = "cosine"
    last: float = Field(gt=0, le=10, description="temperature at the other end of the cosine")
    half_periods: int = Field(
        1, ge=1, le=1000, description="1: to `last` once; 2: there and back; 3: there, back and there"
    )


class LearnedTemperatureConfig(BaseModel, frozen=True, extra="forbid"):
    """Learned by the optimiser with the weights, as a logarithm, from `objective.temperature` on.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision ("CLIP"), ICML 2021,
    section 2.5, whose lowest temperature is 0.01 too.
    """

    name: Literal["learned"] = "learned"
    lowest: float = Field(0.01, ge=0.01, le=10, description="lowest temperature that it may reach")
    highest: float = Field(1.0, ge=0.01, le=10, description="highest temperature that it may reach")


TemperatureChangeConfig = Annotated[
    FixedTemperatureConfig | CosineTemperatureConfig | LearnedTemperatureConfig, Field(discriminator="name")
]


class TemperatureConfig(MethodConfig):
    """Config of a method with a temperature, which divides cosine similarities."""

    CHANGEABLE: ClassVar[tuple[str, ...]] = ("temperature",)
    DIVERGED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.temperature or set pretrain.precision=float32"
    )
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate or objective.temperature, or weaken augment.strength"
    )
    # The default is that of the configuration that Fonseca et al. 2021 published.
    temperature: float = Field(
        0.2, gt=0, le=10, description="divides the cosine similarities; where it changes, the first one"
    )
    temperature_change: TemperatureChangeConfig = FixedTemperatureConfig()

    @model_validator(mode="after")
    def _temperature_is_within_its_bounds(self) -> Self:
        match self.temperature_change:
            case LearnedTemperatureConfig(lowest=lowest, highest=highest) if not (
                lowest <= self.temperature <= highest
            ):
                raise ValueError(
                    f"objective.temperature={self.temperature:g} is not between "
                    f"objective.temperature_change.lowest={lowest:g} and highest={highest:g}; change one of them"
                )
        return self

    def at(self, step: int, steps: int) -> Self:
        match self.temperature_change:
            case CosineTemperatureConfig(last=last, half_periods=half_periods):
                share = 0.5 - 0.5 * math.cos(math.pi * half_periods * step / max(1, steps - 1))
                return self.model_copy(update={"temperature": (1 - share) * self.temperature + share * last})
        return self

    def temperature_modules(self) -> dict[str, torch.nn.Module]:
        """What the method gives to `Method.__init__` beside its own modules."""
        if not isinstance(self.temperature_change, LearnedTemperatureConfig):
            return {}
        return {"temperature": torch.nn.ParameterDict({"log_ratio": torch.zeros(())})}


def current_temperature(method: Method) -> float | torch.Tensor:
    """The temperature of this step: a number, or a scalar that has a gradient if it is learned.

    The learned one is a multiple of `objective.temperature`, so that a schedule that changes that changes it as well.

    Args:
        method: with a TemperatureConfig.
    """
    config = method.config
    assert isinstance(config, TemperatureConfig)
    change = config.temperature_change
    if not isinstance(change, LearnedTemperatureConfig):
        return config.temperature
    log_ratio = method.modules["temperature"].get_parameter("log_ratio")
    with torch.no_grad():  # as CLIP does: a parameter beyond a bound would have no gradient to return by
        log_ratio.clamp_(
            math.log(change.lowest / config.temperature), math.log(change.highest / config.temperature)
        )
    return config.temperature * log_ratio.exp()


def with_temperature(
    output: StepOutput, config: TemperatureConfig, temperature: float | torch.Tensor
) -> StepOutput:
    """A step's output with the temperature among its metrics, unless it is fixed."""
    if isinstance(config.temperature_change, FixedTemperatureConfig):
        return output
    value = torch.as_tensor(temperature).detach()
    return StepOutput(output.loss, lambda: {**output.metrics(), "temperature": value.item()})
