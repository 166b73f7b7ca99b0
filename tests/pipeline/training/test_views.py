import numpy as np
import pytest
import torch

from echopair.augment.policy import AugmentConfig, Policy, build_policy
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import CropBatch, CropsConfig, PairCrops
from echopair.pipeline.training.views import make_views, measure_statistics

LOG_MEL = LogMel(LogMelConfig())
STATISTICS = LogMelStatistics(-9.0, 3.0)


def policy(strength: float = 1.0) -> Policy:
    return build_policy(AugmentConfig(strength=strength), 16000)


@pytest.fixture(scope="module")
def batch(store: ClipStore) -> CropBatch:
    return PairCrops([store], CropsConfig(), policy(), 8, 0)[0]


def views(batch: CropBatch, strength: float = 1.0, seed: int = 1) -> torch.Tensor:
    return torch.stack(make_views(batch, LOG_MEL, policy(strength), STATISTICS, seed))


def test_views_are_a_function_of_seed_and_step(batch: CropBatch) -> None:
    first = views(batch)
    assert first.shape == (2, 8, 1, 64, 96)
    assert torch.equal(first, views(batch))
    assert not torch.equal(first, views(batch, seed=2))
    assert not torch.equal(first, views(batch._replace(step=8)))


def test_a_view_does_not_depend_on_how_many_there_are(batch: CropBatch) -> None:
    one = batch._replace(waveforms=batch.waveforms[:1], chosen=batch.chosen[:1])
    assert torch.equal(views(one)[0], views(batch)[0])


def test_the_same_crop_gives_two_different_views(batch: CropBatch) -> None:
    same = views(batch._replace(waveforms=batch.waveforms[:1].expand(2, -1, -1)))
    assert (same[0] - same[1]).abs().mean() > 0.05


def test_strength_zero_is_the_normalised_log_mel(batch: CropBatch) -> None:
    assert torch.equal(views(batch, 0)[1, 3, 0], ((LOG_MEL(batch.waveforms[1]) + 9) / 3)[3])


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
