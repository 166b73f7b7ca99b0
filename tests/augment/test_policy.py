import itertools
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from augment.policy import AllConfig, AugmentConfig, build_policy
from augment.spectrogram import build_augmentation
from augment.spectrogram.gain import GainConfig
from augment.spectrogram.time_mask import TimeMaskConfig


def seeded(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def test_strength_0_is_the_identity_bit_for_bit(log_mel: Tensor) -> None:
    assert torch.equal(build_policy(AugmentConfig(strength=0))(log_mel, seeded()), log_mel)


def test_mean_distortion_grows_with_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=128)
    distortions = [
        (build_policy(AugmentConfig(strength=strength))(log_mel, seeded()) - log_mel).abs().mean().item()
        for strength in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
    ]
    assert distortions[0] == 0
    assert all(weak < strong for weak, strong in itertools.pairwise(distortions)), distortions


def test_the_input_is_untouched_and_the_shape_kept(log_mel: Tensor) -> None:
    before = log_mel.clone()
    view = build_policy(AugmentConfig())(log_mel, seeded())
    assert torch.equal(log_mel, before)
    assert view.shape == log_mel.shape
    assert view.dtype == log_mel.dtype


def test_the_generators_state_alone_decides_the_views(log_mel: Tensor) -> None:
    policy = build_policy(AugmentConfig())
    generator = seeded()
    first, second = policy(log_mel, generator), policy(log_mel, generator)
    assert not torch.equal(first, second)
    generator.manual_seed(3)
    assert torch.equal(policy(log_mel, generator), first)
    assert torch.equal(policy(log_mel, generator), second)


def test_all_augmentations_are_applied_in_the_listed_order(log_mel: Tensor) -> None:
    listed = (TimeMaskConfig(max_share=0.5), GainConfig())
    view = build_policy(AugmentConfig(strength=1.5, policy=AllConfig(augmentations=listed)))(
        log_mel, seeded()
    )
    generator = seeded()
    expected = log_mel
    for config in listed:
        expected = build_augmentation(config, 1.5)(expected, generator)
    assert torch.equal(view, expected)
    backwards = AllConfig(augmentations=listed[::-1])
    assert not torch.equal(
        build_policy(AugmentConfig(strength=1.5, policy=backwards))(log_mel, seeded()), view
    )


def test_no_augmentations_leave_crops_as_they_are(log_mel: Tensor) -> None:
    policy = build_policy(AugmentConfig(policy=AllConfig(augmentations=())))
    assert torch.equal(policy(log_mel, seeded()), log_mel)


def test_plain_values_as_from_yaml_make_a_config() -> None:
    config = AugmentConfig.model_validate(
        {"strength": 0.5, "policy": {"augmentations": [{"name": "gain", "max_gain_db": 3}]}}
    )
    assert config.policy.augmentations == (GainConfig(max_gain_db=3.0),)
    assert AugmentConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"strength": -0.5}, "strength"),
        ({"strength": 4.5}, "strength"),
        ({"policy": {"name": "none"}}, r"policy\.name"),
        (
            {"policy": {"augmentations": [{"name": "gain", "max_gain_db": -3}]}},
            r"augmentations\.0.*max_gain_db",
        ),
        ({"polices": {}}, "polices"),
    ],
)
def test_an_invalid_config_is_refused_by_key(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        AugmentConfig.model_validate(values)
