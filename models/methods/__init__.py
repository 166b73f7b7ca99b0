"""Methods: what learns from views, chosen by `objective.name`; each is a file with its config and its code."""

from typing import Annotated

from pydantic import Field

from echopair.models.methods.deep_infomax import DeepInfoMaxConfig
from echopair.models.methods.method import Batch, Method, MethodConfig, StepOutput, encode
from echopair.models.methods.simclr import SimCLRConfig
from echopair.models.methods.supervised import CrossEntropyConfig

__all__ = [
    "Batch",
    "CrossEntropyConfig",
    "DeepInfoMaxConfig",
    "Method",
    "MethodConfig",
    "ObjectiveConfig",
    "SimCLRConfig",
    "StepOutput",
    "encode",
]

ObjectiveConfig = Annotated[
    SimCLRConfig | CrossEntropyConfig | DeepInfoMaxConfig,
    Field(discriminator="name"),
]
