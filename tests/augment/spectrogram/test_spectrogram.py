"""The requirements on every augmentation of log-mels."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Annotated, Any, get_args

import pytest
import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Generator, Tensor

from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.mixing import Mixing
from echopair.augment.strength import MAX_STRENGTH

CONFIGS: list[SpectrogramConfig] = [config() for config in get_args(SpectrogramChoice)]
STRENGTHS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
every_augmentation = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
# A view that is reversed, or not, is not drawn by its augmentation: a policy does it.
every_drawn = pytest.mark.parametrize(
    "config",
    [config for config in CONFIGS if config.name != "time_reversal"],
    ids=lambda config: config.name,
)


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


def assert_same(parameters: Any, others: Any) -> None:
    for field in dataclasses.fields(parameters):
        assert torch.equal(getattr(parameters, field.name), getattr(others, field.name)), field.name


@every_augmentation
def test_strength_0_gives_the_input_itself_and_draws_nothing(
    config: SpectrogramConfig, log_mel: Tensor
) -> None:
    generator = seeded()
    view, parameters = config.build(0.0)(log_mel, generator)
    assert view is log_mel
    assert parameters is None
    assert torch.equal(generator.get_state(), seeded().get_state())


@every_augmentation
def test_the_input_stays_and_the_output_is_finite_and_shares_nothing(
    config: SpectrogramConfig, log_mel: Tensor
) -> None:
    before = log_mel.clone()
    some = torch.arange(len(log_mel)) % 3 == 0
    for strength, chosen in itertools.product((0.5, 1.0, MAX_STRENGTH), (None, some)):
        view, _ = config.build(strength)(log_mel, seeded(), chosen)
        view_before = view.clone()
        assert torch.equal(log_mel, before), strength
        assert view.isfinite().all(), strength
        log_mel.zero_()
        assert torch.equal(view, view_before), strength
        log_mel.copy_(before)


@every_augmentation
def test_silence_full_scale_and_the_step_between_stay_finite(config: SpectrogramConfig) -> None:
    log_mel = torch.full((6, 64, 96), -21.0)
    log_mel[1::2] = 5.0
    log_mel[4, 30:] = 5.0
    log_mel[5, :, 40:] = -21.0
    for strength in (1.0, MAX_STRENGTH):
        view, _ = config.build(strength)(log_mel, seeded())
        assert view.isfinite().all()


@every_augmentation
def test_mean_distortion_grows_with_the_strength(
    config: SpectrogramConfig, make_log_mel: Callable[..., Tensor]
) -> None:
    log_mel = make_log_mel(batch=128)
    ranks = torch.arange(128) / 128
    distortions = []
    for strength in STRENGTHS:
        view, _ = config.build(strength)(log_mel, seeded(), ranks < config.share_of_views(strength))
        distortions.append((view - log_mel).abs().mean().item())
    assert distortions[0] == 0
    pairs = list(itertools.pairwise(distortions))
    assert all(weak < strong for weak, strong in pairs[:3]), distortions
    # Above 1 a range may have reached its last valid value.
    assert all(weak <= strong for weak, strong in pairs[3:]), distortions


@every_drawn
def test_each_example_has_parameters_of_its_own(config: SpectrogramConfig, log_mel: Tensor) -> None:
    same = log_mel[:1].repeat(8, 1, 1)
    if isinstance(
        config.build(1.0), Mixing
    ):  # identical examples mix to themselves: give them different partners
        same = torch.cat((same, log_mel[1:]))
    view, _ = config.build(2.0)(same, Generator().manual_seed(3))
    for one, other in itertools.combinations(view[:8], 2):
        assert not torch.equal(one, other)


@every_drawn
def test_the_generators_state_alone_decides_the_view(config: SpectrogramConfig, log_mel: Tensor) -> None:
    augment = config.build(1.0)
    first, drawn = augment(log_mel, seeded(1))
    torch.manual_seed(123)
    again, drawn_again = augment(log_mel, seeded(1))
    assert torch.equal(again, first)
    assert_same(drawn_again, drawn)
    assert not torch.equal(augment(log_mel, seeded(2))[0], first)


@every_augmentation
def test_chosen_rows_are_those_of_a_call_with_all_and_the_rest_stays(
    config: SpectrogramConfig, log_mel: Tensor
) -> None:
    rows = torch.arange(len(log_mel))
    choices = {
        "every other": rows % 2 == 0,
        "the last": rows == rows[-1],
        "all but one": rows != 3,
        "all": rows >= 0,
    }
    augment = config.build(2.0)
    everything, of_all = augment(log_mel, seeded())
    for which, chosen in choices.items():
        view, parameters = augment(log_mel, seeded(), chosen)
        owned = log_mel.clone()
        in_place, _ = augment(owned, seeded(), chosen, in_place=True)
        assert torch.equal(in_place, view), which
        assert (in_place is owned) == (not chosen.all()), which
        assert torch.equal(view[chosen], everything[chosen]), which
        assert torch.equal(view[~chosen], log_mel[~chosen]), which
        assert (view[chosen] != log_mel[chosen]).any(), which
        assert_same(parameters, of_all)


@every_augmentation
def test_with_nothing_chosen_the_input_is_returned_and_the_generator_advances(
    config: SpectrogramConfig, log_mel: Tensor
) -> None:
    one, other = seeded(), seeded()
    view, parameters = config.build(1.0)(log_mel, one, torch.zeros(len(log_mel), dtype=torch.bool))
    assert view is log_mel
    assert_same(parameters, config.build(1.0)(log_mel, other)[1])
    assert torch.equal(one.get_state(), other.get_state())


@every_augmentation
def test_any_number_of_bands_and_frames_is_kept(
    config: SpectrogramConfig, make_log_mel: Callable[..., Tensor]
) -> None:
    sizes = [(64, 48), (64, 500), (128, 96), (1, 1), (1, 7), (7, 1), (2, 2)]
    for batch, (bands, frames) in itertools.product((1, 3), sizes):
        log_mel = make_log_mel(batch=batch, bands=bands, frames=frames)
        view, _ = config.build(MAX_STRENGTH)(log_mel, seeded())
        assert (view.shape, view.dtype) == ((batch, bands, frames), torch.float32)
        assert view.isfinite().all(), (batch, bands, frames)


@every_augmentation
def test_the_layout_in_memory_does_not_matter(config: SpectrogramConfig, log_mel: Tensor) -> None:
    turned = log_mel.transpose(1, 2).contiguous().transpose(1, 2)
    assert not turned.is_contiguous()
    expected, _ = config.build(1.0)(log_mel, seeded())
    torch.testing.assert_close(config.build(1.0)(turned, seeded())[0], expected)


@every_augmentation
def test_a_config_survives_serialisation_and_invalid_values_are_refused(config: SpectrogramConfig) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[SpectrogramChoice, Field(discriminator="name")])
    assert adapter.validate_python(config.model_dump(mode="json")) == config
    assert adapter.validate_python({"name": config.name}) == config
    with pytest.raises(ValidationError, match="loudness"):
        type(config).model_validate({"loudness": 3})
    with pytest.raises(ValueError, match="strength must be from 0 to 4, not -1"):
        config.build(-1.0)


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[SpectrogramChoice, Field(discriminator="name")])
    names = ", ".join(repr(config.name) for config in CONFIGS)
    with pytest.raises(ValidationError, match=f"'reverb'.*{names}"):
        adapter.validate_python({"name": "reverb"})


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@every_augmentation
def test_a_gpu_takes_either_generator_and_agrees_with_the_cpu(
    config: SpectrogramConfig, log_mel: Tensor
) -> None:
    augment = config.build(1.0)
    for chosen in (None, torch.arange(len(log_mel)) == 5):
        on_gpu, _ = augment(log_mel.cuda(), seeded(), chosen)
        assert on_gpu.is_cuda
        expected, _ = augment(log_mel, seeded(), chosen)
        torch.testing.assert_close(on_gpu.cpu(), expected, atol=1e-3, rtol=1e-4)
        drawn_there, _ = augment(log_mel.cuda(), Generator("cuda").manual_seed(7), chosen)
        assert drawn_there.is_cuda
