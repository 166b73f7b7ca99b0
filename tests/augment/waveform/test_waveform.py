"""The requirements on every augmentation of waveforms."""

import itertools
import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from echopair.augment.strength import MAX_STRENGTH
from echopair.augment.waveform import WaveformChoice
from echopair.augment.waveform.augmentation import Waveform, WaveformConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from tests.augment.waveform.conftest import MakeCrop

RATE = 16000
NEEDS_FOLDER = {"background_noise", "impulse_response"}
NEEDS_PACKAGE = {"room_simulation", "mp3_compression"}
DRAWS_NOTHING = {"polarity", "waveform_reverse"}
# These move the waveform in time or in phase: the difference of two waveforms is full at once, however small
# the move, while that of their log-mels grows with it.
SEEN_IN_LOG_MELS = {"pitch_shift", "time_stretch", "waveform_shift"}


def name_of(config_type: type[WaveformConfig]) -> str:
    return str(config_type.model_fields["name"].default)


@pytest.fixture(params=get_args(WaveformChoice), ids=name_of)
def config(request: pytest.FixtureRequest, sound_folder: Path) -> WaveformConfig:
    name = name_of(request.param)
    try:
        made: WaveformConfig = request.param(**{"folder": sound_folder} if name in NEEDS_FOLDER else {})
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        if name not in NEEDS_PACKAGE or "not installed" not in reason:
            raise
        pytest.skip(reason)
    return made


def test_strength_0_is_the_very_crop(config: WaveformConfig, crop: Waveform) -> None:
    before = crop.copy()
    view, drawn = config.build(0.0, RATE)(crop, seed=1)
    assert view is crop
    assert np.array_equal(view, before)
    assert drawn == {}


def test_the_input_stays_and_the_output_shares_nothing(config: WaveformConfig, make_crop: MakeCrop) -> None:
    for strength in (0.5, 1.0, MAX_STRENGTH):
        crop = make_crop()
        before = crop.copy()
        augment = config.build(strength, RATE)
        view, _ = augment(crop, seed=1)
        view_before = view.copy()
        assert np.array_equal(crop, before), strength
        assert not np.shares_memory(view, crop), strength
        crop.fill(0)
        augment(crop, seed=2)
        assert np.array_equal(view, view_before), strength


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_any_crop_of_any_rate_stays_finite_and_as_long_as_it_was(
    config: WaveformConfig, rate_hz: int, make_crop: MakeCrop
) -> None:
    impulse = np.zeros(round(0.96 * rate_hz), np.float32)
    impulse[len(impulse) // 3] = 1
    crops = [make_crop(seed=3, seconds=seconds, rate_hz=rate_hz) for seconds in (0.1, 0.96, 3.0)]
    crops += [np.zeros(round(seconds * rate_hz), np.float32) for seconds in (0.1, 0.96)]
    for strength in (1e-6, 1.0, MAX_STRENGTH):
        augment = config.build(strength, rate_hz)
        for seed, crop in enumerate([*crops, impulse]):
            view, _ = augment(crop, seed)
            assert (view.dtype, view.shape) == (np.float32, crop.shape), (strength, seed)
            assert np.isfinite(view).all(), (strength, seed)


def test_mean_distortion_grows_with_the_strength(config: WaveformConfig, make_crop: MakeCrop) -> None:
    crops = [make_crop(seed=seed) for seed in range(8)]
    log_mel = LogMel(LogMelConfig())

    def distortion(strength: float) -> float:
        augment = config.build(strength, RATE)
        pairs = np.stack([(crop, augment(crop, seed)[0]) for seed, crop in enumerate(crops)], axis=1)
        if config.name in SEEN_IN_LOG_MELS:
            pairs = np.stack([log_mel(torch.from_numpy(side)).numpy() for side in pairs])
        # How often it is applied counts as well: it is all that the strength scales of what is all or nothing.
        return float(config.share_of_views(strength) * np.abs(pairs[0] - pairs[1]).mean())

    distortions = [distortion(strength) for strength in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)]
    assert distortions[0] == 0
    assert all(weak < strong for weak, strong in itertools.pairwise(distortions)), distortions


def test_the_seed_alone_decides(config: WaveformConfig, crop: Waveform) -> None:
    augment = config.build(1.0, RATE)
    views = [augment(crop, seed) for seed in range(8)]
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    for seed, (view, drawn) in enumerate(views):
        again, drawn_again = config.build(1.0, RATE)(crop, seed)
        assert np.array_equal(view, again)
        assert drawn == drawn_again
    different = {view.tobytes() for view, _ in views}
    assert len(different) == 1 if config.name in DRAWS_NOTHING else len(different) > 1


def test_the_global_generators_are_left_as_they_were(config: WaveformConfig, crop: Waveform) -> None:
    python_before, (*_, numpy_before, position, _, _) = random.getstate(), np.random.get_state()  # noqa: NPY002
    config.build(1.0, RATE)(crop, seed=1)
    *_, numpy_after, position_after, _, _ = np.random.get_state()  # noqa: NPY002
    assert random.getstate() == python_before
    assert np.array_equal(numpy_after, numpy_before)
    assert position_after == position


def test_a_config_survives_serialisation_and_invalid_values_are_refused(config: WaveformConfig) -> None:
    adapter: TypeAdapter[WaveformConfig] = TypeAdapter(WaveformChoice)
    assert adapter.validate_python(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="loudness"):
        type(config).model_validate(config.model_dump() | {"loudness": 3})
    for strength in (-1.0, MAX_STRENGTH + 0.5):
        with pytest.raises(ValueError, match=f"strength must be from 0 to 4, not {strength}"):
            config.build(strength, RATE)


def test_names_differ() -> None:
    names = [name_of(config_type) for config_type in get_args(WaveformChoice)]
    assert len(set(names)) == len(names)
