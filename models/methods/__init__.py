"""Methods: what learns from views, chosen by `objective.name`; each is a file with its config and its code."""

from echopair.models.methods.method import Batch, Method, MethodConfig, StepOutput, encode
from echopair.models.methods.simclr import SimCLRConfig

__all__ = ["Batch", "Method", "MethodConfig", "ObjectiveConfig", "SimCLRConfig", "StepOutput", "encode"]

# A second alternative makes this Annotated[SimCLRConfig | OtherConfig, Field(discriminator="name")].
ObjectiveConfig = SimCLRConfig
