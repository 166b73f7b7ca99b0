import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.mixing import MixParameters, mix
from echopair.augment.spectrogram.mixup import Mixup


def draw_partners(max_share: float, log_mel: Tensor, generator: Generator) -> MixParameters:
    return Mixup(max_share, 1.0).draw(log_mel, generator)


def mixed_with(log_mel: Tensor, parameters: MixParameters, log_gain: Tensor | None = None) -> Tensor:
    gain = torch.zeros(len(log_mel)) if log_gain is None else log_gain
    return mix(log_mel, log_mel[parameters.partner], parameters.partner_share, gain)


def test_a_mixture_is_that_of_powers_by_a_loop(log_mel: Tensor) -> None:
    parameters = draw_partners(0.5, log_mel, Generator().manual_seed(0))
    log_gain = torch.linspace(-2, 2, log_mel.shape[0])
    mixed = mixed_with(log_mel, parameters, log_gain)
    power = log_mel.double().exp()
    for row in range(log_mel.shape[0]):
        share, partner = parameters.partner_share[row].double(), parameters.partner[row]
        expected = (1 - share) * power[row] + share * log_gain[row].double().exp() * power[partner]
        torch.testing.assert_close(mixed[row], expected.log().float(), atol=1e-5, rtol=1e-5)


def test_a_share_of_nothing_keeps_the_example_and_leaves_the_others_theirs(log_mel: Tensor) -> None:
    rows = log_mel.shape[0]
    share = torch.full((rows,), 0.3)
    share[0] = 0
    mixed = mixed_with(log_mel, MixParameters(share, (torch.arange(rows) + 1) % rows))
    assert torch.equal(mixed[0], log_mel[0])
    assert all(not torch.equal(mixed[row], log_mel[row]) for row in range(1, rows))


def test_levels_beyond_the_range_of_float32_power_stay_finite(log_mel: Tensor) -> None:
    for level in [-200.0, 200.0]:
        parameters = draw_partners(0.5, log_mel, Generator().manual_seed(0))
        shifted = mixed_with(log_mel + level, parameters)
        torch.testing.assert_close(
            shifted,
            mixed_with(log_mel, parameters) + level,
            atol=1e-3,
            rtol=0,
            msg=str(level),
        )


def test_the_partner_is_any_other_row_and_never_the_row_itself() -> None:
    generator = Generator().manual_seed(0)
    pairs = set()
    for _ in range(200):
        partner = draw_partners(0.1, torch.zeros(5, 1, 1), generator).partner
        pairs |= set(enumerate(partner.tolist()))
    assert pairs == {(row, other) for row in range(5) for other in range(5) if row != other}


def test_shares_fill_their_range() -> None:
    share = draw_partners(0.3, torch.zeros(2000, 1, 1), Generator().manual_seed(0)).partner_share
    assert 0 <= share.min() < 0.003
    assert 0.297 < share.max() <= 0.3


def test_a_batch_of_one_has_a_share_of_nothing() -> None:
    drawn = draw_partners(0.5, torch.zeros(1, 2, 3), Generator().manual_seed(0))
    assert drawn.partner_share.tolist() == [0]
    assert drawn.partner.tolist() == [0]
