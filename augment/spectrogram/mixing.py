"""Another clip mixed into each example, as mixup and mix-back do it."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from augment.spectrogram.augmentation import uniform

# At one half the partner would be as loud as the clip, which would then be no more a view of itself.
HIGHEST_PARTNER_SHARE = 0.5


@dataclass(frozen=True)
class MixParameters:
    """`partner_share` (B,), 0 to 0.5, and `partner` (B,) int64, the row that is mixed into each example."""

    partner_share: Tensor
    partner: Tensor


def draw_partners(max_partner_share: float, log_mel: Tensor, generator: Generator) -> MixParameters:
    """A share and a partner for each example, from all rows but its own.

    The partner is another clip because a batch holds one view of each clip: the views of a clip are made by
    one call each. In a batch of one, which has no other row, the share is 0.

    Args:
        max_partner_share: largest share of the mixture that comes from the partner, 0 to 0.5.
        log_mel: (B, F, T); only its shape and device matter.
        generator: decides the mixtures.
    """
    batch, device = log_mel.shape[0], log_mel.device
    partner_share = uniform(0, max_partner_share, (batch,), generator, device)
    if batch == 1:
        partner_share.zero_()
    steps = torch.randint(1, max(batch, 2), (batch,), generator=generator, device=generator.device)
    return MixParameters(partner_share, (torch.arange(batch, device=device) + steps.to(device)) % batch)


def mix(log_mel: Tensor, parameters: MixParameters, partner_log_gain: Tensor | float) -> Tensor:
    """log((1 - l) exp(a) + l exp(b + g)), in logarithms throughout so that no level overflows.

    Args:
        log_mel: (B, F, T), the examples a; never changed.
        parameters: shares l and the rows of the partners b.
        partner_log_gain: g, in natural logarithm of power; (B,) or one for all.

    Returns:
        (B, F, T); an example whose share is 0 as it was, bit for bit.
    """
    log_own_share = torch.log1p(-parameters.partner_share)
    # log(0) = -inf is right here: logaddexp then returns the example as it is.
    log_gain = parameters.partner_share.log() - log_own_share + partner_log_gain  # (B,)
    partner = log_mel.index_select(0, parameters.partner).add_(log_gain[:, None, None])
    # The clip's own share comes last and in place: on a CPU fresh memory costs as much as the arithmetic.
    return torch.logaddexp(log_mel, partner, out=partner).add_(log_own_share[:, None, None])
