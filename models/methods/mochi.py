"""MoCHi: MoCo with negatives that are mixed from the hardest ones of its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.models.losses.key_contrast import mix_hard_negatives
from echopair.models.methods.moco import MoCo, QueueConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.encoders.base import Encoder
    from echopair.models.methods.method import LearningData
    from echopair.models.projection import ProjectionConfig


class MoCHiConfig(QueueConfig):
    """MoCHi: MoCo v2, with more negatives, mixed from those of the queue that are most similar to the query.

    The defaults have the proportions of the paper's 1024, 1024 and 128 for a queue of 16384. The paper begins to mix
    after a warm-up: let `pretrain.schedule` raise `objective.mixed` and `objective.mixed_with_query` from 0.

    Source: Kalantidis et al., Hard Negative Mixing for Contrastive Learning, NeurIPS 2020, section 4.
    """

    CHANGEABLE: ClassVar = (*QueueConfig.CHANGEABLE, "hardest", "mixed", "mixed_with_query")
    name: Literal["mochi"] = "mochi"
    hardest: int = Field(
        256, ge=1, description="keys of the queue that are most similar to a query; these are mixed"
    )
    mixed: int = Field(
        256, ge=0, le=65536, description="negatives for each query that are mixed from two of the hardest"
    )
    mixed_with_query: int = Field(
        32,
        ge=0,
        le=65536,
        description="negatives for each query that are mixed from the query and one of the hardest",
    )

    def check_batch(self, pairs: int, views: int, positives: str) -> None:
        super().check_batch(pairs, views, positives)
        if self.hardest > self.queue_keys:
            raise ValueError(
                f"objective.hardest={self.hardest} is more than objective.queue_keys={self.queue_keys} has; "
                f"set objective.hardest={self.queue_keys} or less, or take a longer queue"
            )

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> MoCHi:
        return MoCHi(self, encoder, projection)


class MoCHi(MoCo):
    """MoCo with mixed negatives."""

    config: MoCHiConfig

    def mixed_similarities(
        self, queries: torch.Tensor, similarities: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        return mix_hard_negatives(
            queries,
            self.queue.keys,
            similarities,
            self.config.hardest,
            self.config.mixed,
            self.config.mixed_with_query,
            generator,
        )
