"""MoCo: a momentum encoder makes keys, and a queue keeps those of earlier batches as negatives."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from echopair.lazy import torch
from echopair.models.losses.key_contrast import EXCLUDED, key_contrast, key_similarities
from echopair.models.losses.normalise import l2_normalise
from echopair.models.methods.encoding import encode
from echopair.models.methods.method import Batch, LearningData, Method, StepOutput
from echopair.models.methods.momentum import copied_projections, momentum_copy, update_average
from echopair.models.methods.temperature import TemperatureConfig, current_temperature, with_temperature
from echopair.models.projection import ProjectionConfig, projection_head
from echopair.models.representation_health import representation_health

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder
    from echopair.models.methods.key_queue import KeyQueue


class QueueConfig(TemperatureConfig):
    """Config fields of MoCo and MoCHi; a subclass adds `name`. The default temperature, 0.2, is that of MoCo v2."""

    CHANGEABLE: ClassVar[tuple[str, ...]] = ("temperature", "momentum")
    MAX_VIEWS: ClassVar = 2
    COLLAPSED_ADVICE: ClassVar = (
        "raise objective.momentum, lower pretrain.learning_rate or objective.temperature, or weaken "
        "augment.strength"
    )
    momentum: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="share of its weights that the key encoder keeps per step (0.999 in MoCo, for 200 epochs of "
        "ImageNet)",
    )
    queue_keys: int = Field(
        4096,
        ge=2,
        le=1_000_000,
        description="K, keys of earlier batches that are negatives; at least pretrain.batch_pairs (65536 in MoCo)",
    )

    ignore_same_recording: bool = Field(
        False,
        description="keys of the query's recording, and of copies of it, are no negatives; else those of its segment "
        "alone",
    )

    @property
    def reads_recordings(self) -> bool:
        return self.ignore_same_recording

    def check_batch(self, pairs: int, views: int, positives: str) -> None:
        super().check_batch(pairs, views, positives)
        if self.queue_keys < pairs:
            raise ValueError(
                f"objective.queue_keys={self.queue_keys} is less than pretrain.batch_pairs={pairs}, and the queue "
                f"takes the keys of a whole batch; set objective.queue_keys={pairs} or more, or lower "
                "pretrain.batch_pairs"
            )


class MoCoConfig(QueueConfig):
    """MoCo v2: the view of a segment finds the other one's key among a queue of keys of earlier batches.

    The first view is the query. The keys come from a momentum encoder, without a gradient. Keys of the same segment
    from earlier epochs are no negatives, so the queue may be longer than the corpus. The projection head has no batch
    normalisation.

    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, algorithm 1,
    with the head and temperature of Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020.
    """

    name: Literal["moco"] = "moco"

    def build(self, encoder: Encoder, projection: ProjectionConfig, data: LearningData) -> MoCo:
        return MoCo(self, encoder, projection)


class MoCo(Method):
    """Encoder and head of the queries, a momentum copy of both for the keys, and the queue."""

    config: QueueConfig

    def __init__(self, config: QueueConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        from echopair.models.methods.key_queue import KeyQueue  # loads torch, which configs do without

        head = projection_head(projection, encoder.embedding_dim, batch_norm=False)
        super().__init__(
            config,
            encoder=encoder,
            projection=head,
            momentum=momentum_copy(encoder, head),
            queue=KeyQueue(config.queue_keys, projection.projection_dim),
            **config.temperature_modules(),
        )

    @property
    def queue(self) -> KeyQueue:
        """Keys of earlier steps."""
        return cast("KeyQueue", self.modules["queue"])

    def training_step(self, batch: Batch) -> StepOutput:
        query_view, key_view = batch.views
        sources = batch.recordings if self.config.ignore_same_recording else batch.segments
        assert sources is not None
        embeddings = encode(self.encoder, [query_view], batch.views_at_once)  # (1, N, D)
        queries = self.modules["projection"](embeddings[0])  # (N, P)
        momentum = cast("torch.nn.Sequential", self.modules["momentum"])
        keys = l2_normalise(copied_projections(momentum, key_view))  # (N, P)
        self._new = keys, sources
        excluded = sources.unsqueeze(1) == self.queue.sources  # (N, K)
        similarities = key_similarities(queries, keys, self.queue.keys, excluded)  # (N, 1 + K)
        mixed = self.mixed_similarities(queries, similarities[:, 1:], batch.generator)  # (N, S)
        temperature = current_temperature(self)
        loss = key_contrast(torch.cat([similarities, mixed], dim=1), temperature)
        metrics = partial(
            _metrics,
            embeddings.detach(),
            torch.stack([queries.detach().to(keys.dtype), keys]),
            similarities.detach(),
            mixed.shape[1],
        )
        return with_temperature(StepOutput(loss, metrics), self.config, temperature)

    def mixed_similarities(
        self,
        queries: torch.Tensor,
        similarities: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Similarities (N, S) of each query to negatives besides those of the queue; MoCo has none.

        Args:
            queries: (N, P), of any norm.
            similarities: (N, K) of queries and queue, EXCLUDED where a key is no negative.
            generator: of the step.
        """
        return queries.new_empty((len(queries), 0))

    def after_step(self, step: int, steps: int) -> None:
        """Move the key encoder, and put the keys of this step in the place of the oldest ones."""
        update_average(
            self.modules["momentum"], [self.encoder, self.modules["projection"]], self.config.momentum
        )
        self.queue.add(*self._new)


def _metrics(
    embeddings: torch.Tensor, projections: torch.Tensor, similarities: torch.Tensor, mixed: int
) -> dict[str, float]:
    compared = (similarities > EXCLUDED / 2).sum(1)  # (N,), the key and the negatives in the queue
    return {
        "loss_chance_level": (compared + mixed).log().mean().item(),
        "queue_top1": (similarities[:, 0] > similarities[:, 1:].amax(1)).float().mean().item(),
        "queue_top1_chance_level": (1 / compared).mean().item(),
        **representation_health(embeddings, projections),
    }
