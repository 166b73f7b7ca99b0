"""Base class of mixup and mix-back, which mix another clip into each example."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

from echopair.augment.spectrogram.augmentation import Part, SpectrogramAugmentation, take, uniform
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

# Above one half the partner would be louder than the clip.
HIGHEST_PARTNER_SHARE = 0.5


@dataclass(frozen=True)
class MixParameters:
    """`partner_share` (B,), 0 to 0.5, and `partner` (B,) int64, the row that is mixed into each example."""

    partner_share: torch.Tensor
    partner: torch.Tensor


class Mixing(SpectrogramAugmentation[MixParameters]):
    """Mixes another example of the batch into each example.

    The partner is another segment because a batch holds one view of each: the views of a segment are made by
    one call each. A batch of one is not changed.

    Args:
        max_partner_share: largest share of the mixture that comes from the partner at strength 1, 0 to 0.5.
        strength: scales it, up to 0.5.
    """

    def __init__(self, max_partner_share: float, strength: float) -> None:
        super().__init__(strength)
        self.max_partner_share = scale_limit(max_partner_share, strength, highest=HIGHEST_PARTNER_SHARE)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> MixParameters:
        """A share and a partner for each example, among the other rows; the share is 0 in a batch of one."""
        batch, device = log_mel.shape[0], log_mel.device
        partner_share = uniform(0, self.max_partner_share, (batch,), generator, device)
        if batch == 1:
            partner_share.zero_()
        steps = torch.randint(1, max(batch, 2), (batch,), generator=generator, device=generator.device)
        return MixParameters(partner_share, (torch.arange(batch, device=device) + steps.to(device)) % batch)

    def of_part(self, parameters: MixParameters, part: Part) -> MixParameters:
        own = take(parameters, part.rows)
        place = part.rows.new_zeros(part.size)  # in the part; of rows that are not in it, any
        place[part.rows] = torch.arange(len(part.rows), device=place.device)
        return replace(own, partner=place[own.partner])

    @abstractmethod
    def log_level(self, log_mel: torch.Tensor) -> torch.Tensor:
        """The level to equalise between an example and its partner, (B,), in natural logarithm of power."""

    def apply(self, log_mel: torch.Tensor, parameters: MixParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) with the partners mixed in."""
        level = self.log_level(log_mel)
        gain = level - level[parameters.partner]
        return mix(log_mel, log_mel[parameters.partner], parameters.partner_share, gain)

    def apply_to(self, log_mel: torch.Tensor, parameters: MixParameters, rows: torch.Tensor) -> torch.Tensor:
        """As `apply`, for the examples of `rows`; partners may be any row."""
        chosen = take(parameters, rows)
        own, partner = log_mel[rows], log_mel[chosen.partner]
        return mix(own, partner, chosen.partner_share, self.log_level(own) - self.log_level(partner))


def mix(
    log_mel: torch.Tensor, partner: torch.Tensor, partner_share: torch.Tensor, partner_log_gain: torch.Tensor
) -> torch.Tensor:
    """log((1 - l) exp(a) + l exp(b + g)), in logarithms throughout so that no level overflows.

    Args:
        log_mel: (B, F, T), the examples a; never changed.
        partner: (B, F, T), the examples b; overwritten by the result.
        partner_share: (B,) shares l, 0 to 0.5.
        partner_log_gain: (B,) g, in natural logarithm of power.

    Returns:
        (B, F, T); an example whose share is 0 is unchanged, bit for bit.
    """
    log_own_share = torch.log1p(-partner_share)
    # log(0) = -inf is right here: logaddexp then returns the example.
    log_gain = partner_share.log() - log_own_share + partner_log_gain  # (B,)
    partner.add_(log_gain[:, None, None])
    # In place: on a CPU allocating memory costs as much as the arithmetic.
    return torch.logaddexp(log_mel, partner, out=partner).add_(log_own_share[:, None, None])
