"""Two formats of one sound: the log-mel of one view and the waveform of another recognise each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from echopair.lazy import torch
from echopair.models.encoders import SampleCnnConfig, build_encoder
from echopair.models.losses.noise_contrastive import info_nce
from echopair.models.methods.encoding import encode_share
from echopair.models.methods.method import Batch, LearningData
from echopair.models.methods.negatives import Contrast, ContrastConfig
from echopair.models.projection import ProjectionConfig, projection_head

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class MultiFormatConfig(ContrastConfig):
    """An encoder of log-mels and one of waveforms: each finds its clip among the N clips of the other.

    The waveform is augmented as waveforms are (`augment.policy`), the log-mel in all ways. Loss at chance: ln(N).

    Source: Wang and van den Oord, Multi-Format Contrastive Learning of Audio Representations, 2021, section 2;
    Tian et al., Contrastive Multiview Coding, ECCV 2020, equations 3 and 5, with the batch's other clips as negatives.
    """

    MAX_VIEWS: ClassVar = 2
    name: Literal["multi_format"] = "multi_format"
    keep: Literal["mel", "waveform"] = Field(
        "mel", description="which of both encoders is evaluated and saved; the other one helps to train it"
    )
    waveform_encoder: SampleCnnConfig = SampleCnnConfig()

    def check_data(self, encoder: Encoder, data: LearningData) -> None:
        if not data.waveforms:
            raise ValueError(
                "objective.name=multi_format learns from waveforms, and crops.log_mel_of=clip keeps log-mels alone; "
                "set crops.log_mel_of=crop"
            )

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return info_nce(projections, self.temperature, True, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return math.log(pairs)

    def build(
        self,
        encoder: Encoder,
        projection: ProjectionConfig,
        data: LearningData,
    ) -> MultiFormat:
        return MultiFormat(self, encoder, projection)


class MultiFormat(Contrast):
    """An encoder of log-mels and one of waveforms, each with a projection head."""

    config: MultiFormatConfig
    HEADS_OF_SHARES: ClassVar = ("projection", "waveform_projection")

    def __init__(self, config: MultiFormatConfig, encoder: Encoder, projection: ProjectionConfig) -> None:
        waveform_encoder = build_encoder(config.waveform_encoder)
        super().__init__(
            config,
            encoder,
            projection,
            waveform_encoder=waveform_encoder,
            waveform_projection=projection_head(projection, waveform_encoder.embedding_dim),
            **config.temperature_modules(),
        )

    @property
    def encoder(self) -> torch.nn.Module:
        return self.modules["encoder" if self.config.keep == "mel" else "waveform_encoder"]

    def project(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        assert batch.waveforms is not None
        waveforms = batch.waveforms[1, :, None, None]  # (n, 1, 1, L)
        of_mel = encode_share(self.modules["encoder"], batch.views[:1], batch.views_at_once)  # (1, n, D)
        of_waveform = encode_share(
            self.modules["waveform_encoder"], [waveforms], batch.views_at_once
        )  # (1, n, D')
        projections = [
            self.modules["projection"](of_mel[0]),
            self.modules["waveform_projection"](of_waveform[0]),
        ]
        return of_mel if self.config.keep == "mel" else of_waveform, torch.stack(projections)  # (2, n, P)
