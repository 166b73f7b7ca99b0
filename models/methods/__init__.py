"""Methods: what learns from views, chosen by `objective.name`; each is a file with its config and its code."""

from typing import Annotated

from pydantic import Field

from echopair.models.methods.cpc import CPCConfig
from echopair.models.methods.deep_infomax import DeepInfoMaxConfig
from echopair.models.methods.method import Batch, Method, MethodConfig, StepOutput, encode
from echopair.models.methods.simclr import SimCLRConfig
from echopair.models.methods.supervised import CrossEntropyConfig
from echopair.models.methods.transformation import TransformationConfig

__all__ = [
    "Batch",
    "CPCConfig",
    "CrossEntropyConfig",
    "DeepInfoMaxConfig",
    "Method",
    "MethodConfig",
    "ObjectiveConfig",
    "SimCLRConfig",
    "StepOutput",
    "TransformationConfig",
    "encode",
]

ObjectiveConfig = Annotated[
    SimCLRConfig | CrossEntropyConfig | DeepInfoMaxConfig | CPCConfig | TransformationConfig,
    Field(discriminator="name"),
]
