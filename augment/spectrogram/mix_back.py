"""Mix-back: a little of another clip behind each example, as the world has backgrounds."""

from typing import Literal

from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig
from augment.spectrogram.mixing import HIGHEST_PARTNER_SHARE, MixParameters, draw_partners, mix
from augment.strength import scale_limit


class MixBackConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A share of background energy drawn from 0 to max_background_share; the default is the paper's."""

    name: Literal["mix_back"] = "mix_back"
    max_background_share: float = Field(
        0.05, ge=0, le=HIGHEST_PARTNER_SHARE, description="largest share of the energy from another clip"
    )

    def build(self, strength: float) -> "MixBack":
        """The augmentation at a strength."""
        return MixBack(self, strength)


class MixBack(SpectrogramAugmentation[MixParameters]):
    """Mixes the power of another example of the batch, brought to the same energy, behind each example.

    Source: Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event Representations), section
    2.2: (1 - l) a + l E(a) / E(b) b with l ~ U(0, 0.05), a and b in linear power. A batch of one stays as it
    is.

    Args:
        config: the range of l at strength 1.
        strength: scales the range, up to 0.5.
    """

    mixes_examples = True

    def __init__(self, config: MixBackConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_background_share = scale_limit(
            config.max_background_share, strength, highest=HIGHEST_PARTNER_SHARE
        )

    def draw(self, log_mel: Tensor, generator: Generator) -> MixParameters:
        """A share and a partner for each example."""
        return draw_partners(self.max_background_share, log_mel, generator)

    def apply(self, log_mel: Tensor, parameters: MixParameters) -> Tensor:
        """`log_mel` (B, F, T) with the backgrounds mixed in, each at the energy of its example."""
        log_energy = log_mel.logsumexp(dim=(1, 2))  # (B,)
        return mix(log_mel, parameters, log_energy - log_energy[parameters.partner])
