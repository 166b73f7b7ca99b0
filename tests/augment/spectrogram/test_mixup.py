import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.mixing import MixParameters
from echopair.augment.spectrogram.mixup import MixupConfig
from tests.augment.invalid import assert_invalid


def test_the_mixture_is_the_papers_log_mixup_exp(log_mel: Tensor) -> None:
    mixed, parameters = MixupConfig().build(1.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    power = log_mel.double().exp()
    for row in range(log_mel.shape[0]):
        share = parameters.partner_share[row].double()
        expected = (1 - share) * power[row] + share * power[parameters.partner[row]]
        torch.testing.assert_close(mixed[row], expected.log().float(), atol=1e-5, rtol=1e-5)


def test_a_louder_partner_is_not_brought_to_the_level_of_the_clip() -> None:
    log_mel = torch.tensor([[[-10.0]], [[0.0]]])
    mixed = (
        MixupConfig()
        .build(1.0)
        .apply(log_mel, MixParameters(torch.tensor([0.25, 0.25]), torch.tensor([1, 0])))
    )
    assert mixed[0].item() == pytest.approx(math.log(0.75 * math.exp(-10) + 0.25))
    assert mixed[1].item() == pytest.approx(math.log(0.75 + 0.25 * math.exp(-10)))


def test_shares_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    share = MixupConfig().build(0.5).draw(log_mel, Generator().manual_seed(0)).partner_share
    assert 0 <= share.min() < 0.002
    assert 0.198 < share.max() <= 0.2


def test_the_range_ends_at_a_half() -> None:
    assert MixupConfig().build(2.0).max_partner_share == 0.5


def test_no_share_changes_nothing(log_mel: Tensor) -> None:
    mixup = MixupConfig(max_partner_share=0.0).build(1.0)
    assert torch.equal(mixup(log_mel, Generator().manual_seed(0))[0], log_mel)


def test_a_batch_of_one_stays_as_it_is(log_mel: Tensor) -> None:
    alone = log_mel[:1]
    assert torch.equal(MixupConfig().build(1.0)(alone, Generator().manual_seed(0))[0], alone)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        MixupConfig,
        ("max_partner_share", -0.1),
        ("max_partner_share", 0.6),
        ("max_partner_share", math.nan),
    )
