"""What every augmentation of log-mels must keep to, whichever it is."""

import itertools
from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Generator, Tensor

from augment.policy import DEFAULT_AUGMENTATIONS
from augment.spectrogram import AugmentationConfig, build_augmentation
from augment.strength import MAX_STRENGTH

every_augmentation = pytest.mark.parametrize("config", DEFAULT_AUGMENTATIONS, ids=lambda config: config.name)


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


@every_augmentation
def test_strength_0_is_the_identity_bit_for_bit(config: AugmentationConfig, log_mel: Tensor) -> None:
    assert torch.equal(build_augmentation(config, 0.0)(log_mel, seeded()), log_mel)


@every_augmentation
@pytest.mark.parametrize("strength", [0.5, 1.0, MAX_STRENGTH])
def test_the_input_stays_and_the_output_is_finite_and_shares_nothing(
    config: AugmentationConfig, strength: float, log_mel: Tensor
) -> None:
    before = log_mel.clone()
    view = build_augmentation(config, strength)(log_mel, seeded())
    view_before = view.clone()
    assert torch.equal(log_mel, before)
    assert view.isfinite().all()
    log_mel.zero_()
    assert torch.equal(view, view_before)


@every_augmentation
def test_mean_distortion_grows_with_the_strength(
    config: AugmentationConfig, make_log_mel: Callable[..., Tensor]
) -> None:
    log_mel = make_log_mel(batch=128)
    distortions = [
        (build_augmentation(config, strength)(log_mel, seeded()) - log_mel).abs().mean().item()
        for strength in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
    ]
    assert distortions[0] == 0
    assert all(weak < strong for weak, strong in itertools.pairwise(distortions)), distortions


@every_augmentation
def test_each_example_has_parameters_of_its_own(config: AugmentationConfig, log_mel: Tensor) -> None:
    same = log_mel[:1].repeat(8, 1, 1)
    if config.name == "mix_back":  # identical examples mix to themselves: give them different backgrounds
        same = torch.cat((same, log_mel[1:]))
    views = build_augmentation(config, 1.0)(same, seeded())[:8]
    for one, other in itertools.combinations(views, 2):
        assert not torch.equal(one, other)


@every_augmentation
def test_the_generators_state_alone_decides_the_view(config: AugmentationConfig, log_mel: Tensor) -> None:
    augment = build_augmentation(config, 1.0)
    first = augment(log_mel, seeded(1))
    torch.manual_seed(123)
    assert torch.equal(augment(log_mel, seeded(1)), first)
    assert not torch.equal(augment(log_mel, seeded(2)), first)


@every_augmentation
@pytest.mark.parametrize(("bands", "frames"), [(64, 48), (64, 500), (128, 96), (1, 1)])
def test_any_number_of_bands_and_frames_is_kept(
    config: AugmentationConfig, bands: int, frames: int, make_log_mel: Callable[..., Tensor]
) -> None:
    log_mel = make_log_mel(batch=3, bands=bands, frames=frames)
    view = build_augmentation(config, 2.0)(log_mel, seeded())
    assert view.shape == log_mel.shape
    assert view.dtype == torch.float32
    assert view.isfinite().all()


@every_augmentation
def test_a_config_survives_being_written_and_read(config: AugmentationConfig) -> None:
    adapter: TypeAdapter[AugmentationConfig] = TypeAdapter(AugmentationConfig)
    assert adapter.validate_python(config.model_dump()) == config
    assert adapter.validate_python({"name": config.name}) == config


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    adapter: TypeAdapter[AugmentationConfig] = TypeAdapter(AugmentationConfig)
    with pytest.raises(ValidationError, match=r"'reverb'.*'mix_back', 'random_resized_crop', 'gain'"):
        adapter.validate_python({"name": "reverb"})


@every_augmentation
def test_an_unknown_key_is_refused(config: AugmentationConfig) -> None:
    with pytest.raises(ValidationError, match="loudness"):
        type(config).model_validate({"loudness": 3})


@every_augmentation
def test_a_strength_out_of_range_is_refused(config: AugmentationConfig) -> None:
    with pytest.raises(ValueError, match="strength must be from 0 to 4, not -1"):
        build_augmentation(config, -1.0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@every_augmentation
def test_a_gpu_takes_either_generator_and_agrees_with_the_cpu(
    config: AugmentationConfig, log_mel: Tensor
) -> None:
    augment = build_augmentation(config, 1.0)
    on_gpu = augment(log_mel.cuda(), seeded())
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), augment(log_mel, seeded()), atol=1e-3, rtol=1e-4)
    assert augment(log_mel.cuda(), Generator("cuda").manual_seed(7)).is_cuda
