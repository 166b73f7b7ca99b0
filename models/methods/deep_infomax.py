"""Deep InfoMax: the local features of one view are to recognise the global vector of another view of the clip."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from echopair.lazy import torch
from echopair.models.losses.local_global import local_global
from echopair.models.methods.encoding import feature_maps
from echopair.models.methods.method import (
    Batch,
    LearningData,
    Method,
    StepOutput,
    check_gives_features,
)
from echopair.models.methods.temperature import TemperatureConfig, current_temperature, with_temperature
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class DeepInfoMaxConfig(TemperatureConfig):
    """Local-global: each place of one view's feature map against the embedding of another view of the clip.

    Needs an encoder with a feature map.

    Source: Hjelm et al., Learning deep representations by mutual information estimation and maximization, ICLR 2019,
    equations 5 and 6; between views as Bachman et al. (AMDIM), NeurIPS 2019, equation 2.
    """

    name: Literal["deep_infomax"] = "deep_infomax"

    def check_data(self, encoder: Encoder, data: LearningData) -> None:
        check_gives_features(self.name, encoder)

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> DeepInfoMax:
        return DeepInfoMax(self, encoder, projection)


class DeepInfoMax(Method):
    """An encoder, a head of the embedding, and 1x1 convolutions as the head of each place of the feature map."""

    config: DeepInfoMaxConfig

    def __init__(self, config: DeepInfoMaxConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
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
            **config.temperature_modules(),
        )

    def training_step(self, batch: Batch) -> StepOutput:
        encoder = cast("Encoder", self.encoder)
        maps = feature_maps(encoder, batch.views, batch.views_at_once)  # V of (N, C, F', T')
        embeddings = torch.stack([encoder.pool(one) for one in maps])  # (V, N, D)
        shape = embeddings.shape[:2]
        vectors = self.modules["projection"](embeddings.flatten(0, 1)).unflatten(0, shape)  # (V, N, P)
        local = [self.modules["local"](one) for one in maps]  # V of (N, P, F', T')
        temperature = current_temperature(self)
        loss, accuracy = local_global(local, vectors, temperature)
        output = StepOutput(loss, partial(_metrics, embeddings.detach(), vectors.detach(), accuracy))
        return with_temperature(output, self.config, temperature)


def _metrics(embeddings: torch.Tensor, vectors: torch.Tensor, accuracy: torch.Tensor) -> dict[str, float]:
    pairs = vectors.shape[1]
    return {
        "loss_chance_level": math.log(pairs),
        "local_accuracy": accuracy.item(),
        "local_accuracy_chance_level": 1 / pairs,
        **representation_health(embeddings, vectors),
    }
