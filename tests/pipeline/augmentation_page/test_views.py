import itertools
from typing import get_args

import numpy as np
import pytest
import torch

from echopair.augment.policy import AllConfig, AugmentConfig
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.tilt import TiltConfig
from echopair.augment.waveform import WaveformChoice
from echopair.augment.waveform.gain import WaveformGainConfig
from echopair.augment.waveform.polarity import PolarityConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page.policy_words import other_augmentations, policy_in_words
from echopair.pipeline.augmentation_page.views import lone_view, lone_views, policy_views
from echopair.pipeline.augmentation_page.wording import GAP, MINUS
from tests.pipeline.augmentation_page.clips import RATE, synthetic_clips

LOG_MEL = LogMel(LogMelConfig())


def test_the_same_draw_grows_with_the_strength() -> None:
    clips = synthetic_clips()
    views = lone_views(clips, 1, GainConfig(), (0.5, 1.0, 2.0), LOG_MEL, 0)
    half, one, two = (view.applied[0][1]["gain_db"] for view in views)
    assert half == pytest.approx(one / 2, rel=1e-5)
    assert two == pytest.approx(one * 2, rel=1e-5)
    original = LOG_MEL(torch.from_numpy(clips[1].waveform)[None])[0].numpy()
    assert views[1].log_mel - original == pytest.approx(one * np.log(10) / 10, abs=1e-4)


def test_the_draw_that_is_shown_is_the_median_of_five() -> None:
    clips = synthetic_clips()
    draws = [lone_view(clips, 0, GainConfig(), 1.0, LOG_MEL, 0, draw) for draw in range(5)]
    gains = sorted((draw.applied[0][1]["gain_db"] for draw in draws), key=abs)
    (shown,) = lone_views(clips, 0, GainConfig(), (1.0,), LOG_MEL, 0)
    assert len(set(gains)) == 5
    assert shown.applied == (("gain", {"gain_db": gains[2]}),)


def test_an_augmentation_alone_is_applied_whatever_its_probability() -> None:
    never = PolarityConfig(probability=0.0)
    (view,) = lone_views(synthetic_clips(), 2, never, (1.0,), LOG_MEL, 0)
    assert view.waveform is not None
    assert np.array_equal(view.waveform, -synthetic_clips()[2].waveform)


def test_views_differ_and_a_view_draws_the_same_at_every_strength() -> None:
    clips = synthetic_clips()
    chain = AllConfig(augmentations=(WaveformGainConfig(), TiltConfig()))
    views = {
        (strength, view): policy_views(
            clips, AugmentConfig(strength=strength, policy=chain), LOG_MEL, 0, view
        )
        for strength, view in itertools.product((0.5, 1.0), (0, 1))
    }
    tilts = {place: [view.applied[1][1]["tilt_db"] for view in of_clips] for place, of_clips in views.items()}
    assert tilts[1.0, 0] == pytest.approx([2 * tilt for tilt in tilts[0.5, 0]], rel=1e-5)
    assert len({*tilts[1.0, 0], *tilts[1.0, 1]}) == 6


def test_every_augmentation_is_listed_ready_or_missing() -> None:
    listed = [GainConfig(max_gain_db=1.0), WaveformGainConfig()]
    ready, missing = other_augmentations(listed, RATE)
    every = {
        choice.model_fields["name"].default
        for choice in get_args(WaveformChoice) + get_args(SpectrogramChoice)
    }
    named = [one.name for one in (*listed, *ready)] + [name for name, _ in missing]
    assert sorted(named) == sorted(every)
    assert all(reason for _, reason in missing)


def test_a_policy_in_words() -> None:
    config = AugmentConfig.model_validate(
        {
            "strength": 0.5,
            "policy": {
                "name": "stacked",
                "operations": 1,
                "pool": [{"name": "polarity"}, {"name": "tilt"}],
                "augmentations": [{"name": "gain", "probability": 0.25}, {"name": "pitch_shift"}],
            },
        }
    )
    assert policy_in_words(config, LOG_MEL) == [
        (
            "Each view gets 1 of these 2, drawn anew",
            [
                ("polarity", "no range", f"in 10{GAP}% of the views that draw it"),
                ("tilt", f"scaled from tilt at most 6{GAP}dB at strength 1", "whenever drawn"),
            ],
        ),
        (
            "and all of these",
            [
                ("gain", f"scaled from gain at most 6{GAP}dB at strength 1", f"in 25{GAP}% of the views"),
                (
                    "pitch shift",
                    f"scaled from {MINUS}2 to 2{GAP}semitones at strength 1",
                    "in every view",
                ),
            ],
        ),
    ]


def test_a_learned_policy_tells_the_strength_of_each() -> None:
    operations = {"gain": {"probability": 0.5, "magnitude": 2.0}, "tilt": {}}
    config = AugmentConfig.model_validate({"policy": {"name": "learned", "operations": operations}})
    assert policy_in_words(config, LOG_MEL) == [
        (
            "Each view gets",
            [
                (
                    "gain",
                    f"strength 2: scaled from gain at most 6{GAP}dB at strength 1",
                    f"in 50{GAP}% of the views",
                ),
                ("tilt", f"tilt at most 6{GAP}dB", "in every view"),
            ],
        )
    ]


def test_at_strength_0_nothing_is_applied() -> None:
    assert policy_in_words(
        AugmentConfig(strength=0, policy=AllConfig(augmentations=(GainConfig(),))), LOG_MEL
    ) == [("Each view gets", [("gain", "changes nothing", "never")])]
    assert policy_in_words(AugmentConfig(policy=AllConfig(augmentations=())), LOG_MEL) == []
