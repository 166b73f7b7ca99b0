"""Methods: what learns from views, each a file with its config and its code.

An objective is what a user chooses by `objective.name`: the config of a method, and its name. The method that it builds
is the object that is trained: it holds the encoder and the modules that are trained with it, and computes the loss of a
batch of views. The losses themselves are functions of tensors in `models.losses`.
"""

from typing import Annotated

from pydantic import Field

from echopair.models.methods.byol import BYOLConfig
from echopair.models.methods.cpc import CPCConfig
from echopair.models.methods.decorrelation import BarlowTwinsConfig, VICRegConfig
from echopair.models.methods.deep_infomax import DeepInfoMaxConfig
from echopair.models.methods.encoding import encode
from echopair.models.methods.margins import ContrastivePairsConfig, LiftedStructureConfig, TripletConfig
from echopair.models.methods.memory_bank import MemoryBankConfig
from echopair.models.methods.method import Batch, LearningData, Method, MethodConfig, StepOutput
from echopair.models.methods.mochi import MoCHiConfig
from echopair.models.methods.moco import MoCoConfig
from echopair.models.methods.multi_format import MultiFormatConfig
from echopair.models.methods.noise_contrastive import BinaryNCEConfig, InfoNCEConfig
from echopair.models.methods.relative_position import RelativePositionConfig
from echopair.models.methods.reweighted_negatives import DebiasedConfig, DecoupledConfig, HardNegativesConfig
from echopair.models.methods.simclr import SimCLRConfig
from echopair.models.methods.simsiam import SimSiamConfig
from echopair.models.methods.supervised import CrossEntropyConfig
from echopair.models.methods.supervised_contrastive import SupervisedContrastiveConfig
from echopair.models.methods.transformation import TransformationConfig

__all__ = [
    "Batch",
    "LearningData",
    "Method",
    "MethodConfig",
    "ObjectiveConfig",
    "SimCLRConfig",
    "StepOutput",
    "encode",
]

ObjectiveConfig = Annotated[
    SimCLRConfig
    | ContrastivePairsConfig
    | TripletConfig
    | LiftedStructureConfig
    | BinaryNCEConfig
    | InfoNCEConfig
    | SupervisedContrastiveConfig
    | DecoupledConfig
    | DebiasedConfig
    | HardNegativesConfig
    | BarlowTwinsConfig
    | VICRegConfig
    | MemoryBankConfig
    | MoCoConfig
    | MoCHiConfig
    | BYOLConfig
    | SimSiamConfig
    | CrossEntropyConfig
    | DeepInfoMaxConfig
    | CPCConfig
    | TransformationConfig
    | RelativePositionConfig
    | MultiFormatConfig,
    Field(discriminator="name"),
]
