import numpy as np
import pytest
import torch

from augment.policy import AugmentConfig, build_policy
from models.log_mel import LogMel, LogMelConfig, LogMelStatistics
from pipeline.crops import CropsConfig, PairCrops
from pipeline.pairs import make_views, measure_statistics
from pipeline.store import ClipStore

LOG_MEL = LogMel(LogMelConfig())
STATISTICS = LogMelStatistics(-9.0, 3.0)


@pytest.fixture(scope="module")
def waveforms(store: ClipStore) -> torch.Tensor:
    return PairCrops([store], CropsConfig(), 8, 0)[0].waveforms


def test_views_are_a_function_of_seed_and_step(waveforms: torch.Tensor) -> None:
    policy = build_policy(AugmentConfig())
    views = make_views(waveforms, LOG_MEL, policy, STATISTICS, seed=1, step=7)
    assert views.shape == (2, 8, 1, 64, 96)
    assert torch.equal(views, make_views(waveforms, LOG_MEL, policy, STATISTICS, seed=1, step=7))
    assert not torch.equal(views, make_views(waveforms, LOG_MEL, policy, STATISTICS, seed=1, step=8))


def test_the_same_crop_gives_two_different_views(waveforms: torch.Tensor) -> None:
    same = waveforms[:1].expand(2, -1, -1)
    views = make_views(same, LOG_MEL, build_policy(AugmentConfig()), STATISTICS, 0, 0)
    assert (views[0] - views[1]).abs().mean() > 0.05


def test_strength_nought_is_the_normalised_log_mel(waveforms: torch.Tensor) -> None:
    views = make_views(waveforms, LOG_MEL, build_policy(AugmentConfig(strength=0)), STATISTICS, 0, 0)
    assert torch.equal(views[1, 3, 0], ((LOG_MEL(waveforms[1]) + 9) / 3)[3])


def test_statistics_are_those_of_the_clips(store: ClipStore) -> None:
    crop_samples = 4800
    measured = measure_statistics([store], LOG_MEL, crop_samples, seed=0)
    whole = np.concatenate(
        [LOG_MEL(torch.from_numpy(store.read(n))[None]).numpy().ravel() for n in range(len(store))]
    )
    assert measured.mean == pytest.approx(whole.mean(), abs=0.5)
    assert measured.standard_deviation == pytest.approx(whole.std(), abs=0.5)
    assert measured == measure_statistics([store], LOG_MEL, crop_samples, seed=0)
    normalised = LogMelStatistics(measured.mean, measured.standard_deviation).normalise(
        torch.from_numpy(whole)
    )
    assert abs(normalised.mean().item()) < 0.2
