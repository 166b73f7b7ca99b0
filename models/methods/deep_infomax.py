"""Deep InfoMax: the local features of one view are to recognise the global vector of another view of the clip."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from echopair.lazy import torch
from echopair.models.methods.method import (
    NO_DATA,
    Batch,
    LearningData,
    Method,
    MethodConfig,
    StepOutput,
    check_gives_features,
    feature_maps,
)
from echopair.models.objectives.local_global import chance_level, local_global
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import describe_collapse, representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class DeepInfoMaxConfig(MethodConfig):
    """Local-global: each place of one view's feature map against the embedding of another view of the clip.

    Needs an encoder with a feature map. The default temperature is that of `nt_xent`.

    Source: Hjelm et al., Learning deep representations by mutual information estimation and maximization, ICLR 2019,
    equations 5 and 6; between views as Bachman et al. (AMDIM), NeurIPS 2019, equation 2.
    """

    CHANGEABLE: ClassVar = ("temperature",)
    DIVERGED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.temperature or set pretrain.precision=float32"
    )
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate or objective.temperature, or weaken augment.strength"
    )
    name: Literal["deep_infomax"] = "deep_infomax"
    temperature: float = Field(0.2, ge=0.01, le=10, description="divides the cosine similarities")

    def check_data(self, encoder: Encoder, data: LearningData) -> None:  # noqa: ARG002
        check_gives_features(self.name, encoder)

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData = NO_DATA,  # noqa: ARG002
    ) -> DeepInfoMax:
        return DeepInfoMax(self, encoder, projection)


class DeepInfoMax(Method):
    """An encoder, a head of the embedding, and 1x1 convolutions as the head of each place of the feature map."""

    config: DeepInfoMaxConfig

    def __init__(self, config: DeepInfoMaxConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        check_gives_features(config.name, encoder)
        channels = cast("int", encoder.feature_channels)
        super().__init__(
            config,
            encoder=encoder,
            projection=projection_head(projection, encoder.embedding_dim),
            local=torch.nn.Sequential(
                torch.nn.Conv2d(channels, channels, 1, bias=False),
                torch.nn.BatchNorm2d(channels),
                torch.nn.ReLU(inplace=True),
                torch.nn.Conv2d(channels, projection.projection_dim, 1),
            ),
        )

    def training_step(self, batch: Batch) -> StepOutput:
        encoder = cast("Encoder", self.encoder)
        maps = feature_maps(encoder, batch.views)  # V of (N, C, F', T')
        embeddings = torch.stack([encoder.pool(one) for one in maps])  # (V, N, D)
        shape = embeddings.shape[:2]
        vectors = self.modules["projection"](embeddings.flatten(0, 1)).unflatten(0, shape)  # (V, N, P)
        local = [self.modules["local"](one) for one in maps]  # V of (N, P, F', T')
        loss, accuracy = local_global(local, vectors, self.config.temperature)
        return StepOutput(loss, partial(_figures, embeddings.detach(), vectors.detach(), accuracy))

    def collapse(self, figures: dict[str, float]) -> str | None:
        return describe_collapse(figures)


def _figures(embeddings: torch.Tensor, vectors: torch.Tensor, accuracy: torch.Tensor) -> dict[str, float]:
    pairs = vectors.shape[1]
    return {
        "loss_chance_level": chance_level(pairs),
        "local_accuracy": accuracy.item(),
        "local_accuracy_chance_level": 1 / pairs,
        **representation_health(embeddings, vectors),
    }
