"""A second method for the tests: MoCo, with a momentum encoder and a queue of keys."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.lazy import torch
from echopair.models.methods import Batch, Method, MethodConfig, StepOutput
from echopair.models.methods.method import NO_DATA, LearningData
from echopair.models.projection import ProjectionConfig, projection_head

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class MoCoConfig(MethodConfig):
    """MoCo, its momentum and its queue."""

    CHANGEABLE: ClassVar = ("temperature",)
    MAX_VIEWS: ClassVar = 2
    COLLAPSED_ADVICE: ClassVar = "raise objective.momentum"
    name: Literal["moco"] = "moco"
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, ge=0, lt=1)
    queue_keys: int = Field(64, ge=1)

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData = NO_DATA) -> MoCo:
        return MoCo(self, encoder, projection)


class MoCo(Method):
    """The query of a clip is to find its key among those of earlier batches.

    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, algorithm 1.
    """

    config: MoCoConfig

    def __init__(self, config: MoCoConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        head = projection_head(projection, encoder.embedding_dim)
        key = torch.nn.Sequential(deepcopy(encoder), deepcopy(head)).requires_grad_(False)
        super().__init__(config, encoder=encoder, head=head, key=key, queue=torch.nn.Module())
        queue = torch.randn(config.queue_keys, projection.projection_dim)  # (K, P)
        self.modules["queue"].register_buffer("keys", torch.nn.functional.normalize(queue))

    def training_step(self, batch: Batch) -> StepOutput:
        query_view, key_view = batch.views
        normalize = torch.nn.functional.normalize
        queries = normalize(self.modules["head"](self.encoder(query_view)).float())  # (N, P)
        with torch.no_grad():
            self._new_keys = normalize(self.modules["key"](key_view).float())  # (N, P)
        positive = (queries * self._new_keys).sum(1, keepdim=True)  # (N, 1)
        similarity = torch.cat(
            [positive, queries @ self.modules["queue"].get_buffer("keys").T], dim=1
        )  # (N, 1 + K)
        first = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
        loss = torch.nn.functional.cross_entropy(similarity / self.config.temperature, first)
        return StepOutput(loss, partial(_figures, similarity.detach()))

    def after_step(self, step: int, steps: int) -> None:
        """Move the key encoder, ever less as in MoCo v3, and let the new keys replace the oldest ones."""
        share = (1 - self.config.momentum) * 0.5 * (1 + math.cos(math.pi * step / steps))
        trained = [*self.encoder.parameters(), *self.modules["head"].parameters()]
        with torch.no_grad():
            for key, query in zip(self.modules["key"].parameters(), trained, strict=True):
                key.lerp_(query, share)
        queue = self.modules["queue"]
        queue.keys = torch.cat([self._new_keys, queue.get_buffer("keys")])[: self.config.queue_keys]

    def collapse(self, figures: dict[str, float]) -> str | None:
        return "all keys are equal" if figures["queue_similarity"] > 0.99 else None


def _figures(similarity: torch.Tensor) -> dict[str, float]:
    return {
        "loss_chance_level": math.log(similarity.shape[1]),
        "retrieval_top1": (similarity.argmax(1) == 0).float().mean().item(),
        "retrieval_top1_chance_level": 1 / similarity.shape[1],
        "queue_similarity": similarity[:, 1:].mean().item(),
    }
