"""SimCLR: an encoder and a projection head, trained by NT-Xent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.lazy import torch
from echopair.models.methods.method import Batch, Method, MethodConfig, StepOutput, encode
from echopair.models.objectives.nt_xent import chance_level, nt_xent
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import describe_collapse, representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class SimCLRConfig(MethodConfig):
    """NT-Xent and its temperature; 0.2 is that of the configuration Fonseca et al. 2021 published."""

    CHANGEABLE: ClassVar = ("temperature",)
    DIVERGED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate, raise objective.temperature or set pretrain.precision=float32"
    )
    COLLAPSED_ADVICE: ClassVar = (
        "lower pretrain.learning_rate or objective.temperature, or weaken augment.strength"
    )
    name: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.2, gt=0, le=10, description="divides the cosine similarities")

    def build(self, encoder: Encoder, projection: ProjectionConfig) -> SimCLR:
        return SimCLR(self, encoder, projection)


class SimCLR(Method):
    """The views of a clip attract each other, and repel those of the other clips of the batch.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
    """

    config: SimCLRConfig

    def __init__(self, config: SimCLRConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        super().__init__(
            config, encoder=encoder, projection=projection_head(projection, encoder.embedding_dim)
        )

    def training_step(self, batch: Batch) -> StepOutput:
        embeddings = encode(self.encoder, batch.views)  # (V, N, D)
        shape = embeddings.shape[:2]
        projections = self.modules["projection"](embeddings.flatten(0, 1)).unflatten(0, shape)  # (V, N, P)
        loss = nt_xent(projections, self.config.temperature)
        return StepOutput(loss, partial(_figures, embeddings.detach(), projections.detach()))

    def collapse(self, figures: dict[str, float]) -> str | None:
        return describe_collapse(figures)


def _figures(embeddings: torch.Tensor, projections: torch.Tensor) -> dict[str, float]:
    views, pairs, _ = projections.shape
    return {
        "loss_chance_level": chance_level(pairs, views),
        **representation_health(embeddings, projections),
    }
