"""Mixup: another clip of the batch mixed into each example, at the level that it has."""

from typing import Literal

from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig
from augment.spectrogram.mixing import HIGHEST_PARTNER_SHARE, MixParameters, draw_partners, mix
from augment.strength import scale_limit


class MixupConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A share of another clip's power drawn from 0 to max_partner_share; the default is the paper's."""

    name: Literal["mixup"] = "mixup"
    max_partner_share: float = Field(
        0.4, ge=0, le=HIGHEST_PARTNER_SHARE, description="largest share of another clip's power"
    )

    def build(self, strength: float) -> "Mixup":
        """The augmentation at a strength."""
        return Mixup(self, strength)


class Mixup(SpectrogramAugmentation[MixParameters]):
    """Mixes another example of the batch into each example as sound mixes: in power, not in its logarithm.

    A soft clip takes all from a loud partner; mix-back, which brings both to one energy, does not.
    Source: Niizumi et al. 2021 (BYOL-A), "Mixup", their log-mixup-exp: log((1 - l) exp(a) + l exp(b)) with
    l ~ U(0, 0.4). Difference: the partner is another row of the batch in place of one of a memory of earlier
    batches, so that a view depends on its step alone. A batch of one stays as it is.

    Args:
        config: the range of l at strength 1.
        strength: scales the range, up to 0.5.
    """

    mixes_examples = True

    def __init__(self, config: MixupConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_partner_share = scale_limit(
            config.max_partner_share, strength, highest=HIGHEST_PARTNER_SHARE
        )

    def draw(self, log_mel: Tensor, generator: Generator) -> MixParameters:
        """A share and a partner for each example."""
        return draw_partners(self.max_partner_share, log_mel, generator)

    def apply(self, log_mel: Tensor, parameters: MixParameters) -> Tensor:
        """`log_mel` (B, F, T) with the partners mixed in."""
        return mix(log_mel, parameters, 0.0)
