import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.mix_back import MixBackConfig
from tests.augment.invalid import assert_invalid


def test_the_mixture_is_the_papers_in_linear_power(log_mel: Tensor) -> None:
    mix_back = MixBackConfig(max_background_share=0.5).build(1.0)
    mixed, parameters = mix_back(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    power = log_mel.double().exp()
    for row in range(log_mel.shape[0]):
        share = parameters.partner_share[row].double()
        clip, background = power[row], power[parameters.partner[row]]
        expected = (1 - share) * clip + share * clip.sum() / background.sum() * background
        torch.testing.assert_close(mixed[row], expected.log().float(), atol=1e-4, rtol=1e-4)


def test_energy_is_kept(log_mel: Tensor) -> None:
    mixed, _ = MixBackConfig().build(4.0)(log_mel, Generator().manual_seed(0))
    torch.testing.assert_close(mixed.exp().sum(dim=(1, 2)), log_mel.exp().sum(dim=(1, 2)))


def test_shares_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    share = MixBackConfig().build(2.0).draw(log_mel, Generator().manual_seed(0)).partner_share
    assert 0 <= share.min() < 0.001
    assert 0.099 < share.max() <= 0.1


def test_the_background_never_drowns_the_clip() -> None:
    assert MixBackConfig(max_background_share=0.3).build(4.0).max_partner_share == 0.5


def test_levels_beyond_the_range_of_float32_power_stay_finite(log_mel: Tensor) -> None:
    for level in [-200.0, 200.0]:
        mix_back = MixBackConfig().build(1.0)
        parameters = mix_back.draw(log_mel, Generator().manual_seed(0))
        shifted = mix_back.apply(log_mel + level, parameters)
        torch.testing.assert_close(
            shifted,
            mix_back.apply(log_mel, parameters) + level,
            atol=1e-3,
            rtol=0,
            msg=str(level),
        )


def test_no_background_changes_nothing(log_mel: Tensor) -> None:
    mix_back = MixBackConfig(max_background_share=0.0).build(1.0)
    assert torch.equal(mix_back(log_mel, Generator().manual_seed(0))[0], log_mel)


def test_a_batch_of_one_stays_as_it_is(log_mel: Tensor) -> None:
    alone = log_mel[:1]
    assert torch.equal(MixBackConfig().build(1.0)(alone, Generator().manual_seed(0))[0], alone)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        MixBackConfig,
        ("max_background_share", -0.1),
        ("max_background_share", 0.6),
        ("max_background_share", math.nan),
    )
