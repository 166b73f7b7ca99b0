"""Mix-back: a little of another clip behind each example, as the world has backgrounds."""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig, uniform
from augment.strength import scale_limit

# At one half the background would be as loud as the clip, which would then be no more a view of itself.
HIGHEST_BACKGROUND_SHARE = 0.5


class MixBackConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A share of background energy drawn from 0 to max_background_share; the default is the paper's."""

    name: Literal["mix_back"] = "mix_back"
    max_background_share: float = Field(
        0.05, ge=0, le=HIGHEST_BACKGROUND_SHARE, description="largest share of the energy from another clip"
    )

    def build(self, strength: float) -> "MixBack":
        """The augmentation at a strength."""
        return MixBack(self, strength)


@dataclass(frozen=True)
class MixBackParameters:
    """`background_share` (B,), 0 to 0.5, and `partner` (B,) int64, the row whose sound is the background."""

    background_share: Tensor
    partner: Tensor


class MixBack(SpectrogramAugmentation[MixBackParameters]):
    """Mixes the power of another example of the batch, brought to the same energy, behind each example.

    The partner is drawn from all other rows, never the row itself. It is another clip because a batch holds
    one view of each clip: the views of a clip are made by one call each. A batch of one stays as it is.
    Source: Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event Representations), section
    2.2: (1 - l) a + l E(a) / E(b) b with l ~ U(0, 0.05), a and b in linear power.

    Args:
        config: the range of l at strength 1.
        strength: scales the range, up to 0.5.
    """

    mixes_examples = True

    def __init__(self, config: MixBackConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_background_share = scale_limit(
            config.max_background_share, strength, highest=HIGHEST_BACKGROUND_SHARE
        )

    def draw(self, log_mel: Tensor, generator: Generator) -> MixBackParameters:
        """A share and a partner for each example."""
        batch = log_mel.shape[0]
        background_share = uniform(0, self.max_background_share, (batch,), generator, log_mel.device)
        if batch == 1:
            background_share.zero_()
        steps = torch.randint(1, max(batch, 2), (batch,), generator=generator, device=generator.device)
        rows = torch.arange(batch, device=log_mel.device)
        return MixBackParameters(background_share, (rows + steps.to(log_mel.device)) % batch)

    def apply(self, log_mel: Tensor, parameters: MixBackParameters) -> Tensor:
        """`log_mel` (B, F, T) with the backgrounds mixed in. Logarithms throughout: no overflow."""
        share, partner = parameters.background_share, parameters.partner
        log_energy = log_mel.logsumexp(dim=(1, 2))  # (B,)
        log_clip_share = torch.log1p(-share)
        # log(0) = -inf is right here: logaddexp then returns the example as it is.
        background_log_gain = share.log() - log_clip_share + log_energy - log_energy[partner]  # (B,)
        background = log_mel.index_select(0, partner).add_(background_log_gain[:, None, None])
        # The clip's own share comes last and in place: on a CPU fresh memory costs as much as the arithmetic.
        return torch.logaddexp(log_mel, background, out=background).add_(log_clip_share[:, None, None])
