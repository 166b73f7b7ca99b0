import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Generator, Tensor

from echopair.augment.policy import AugmentConfig, Policy, augmentations_of, build_policy
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.time_mask import TimeMaskConfig

RATE = 16000
POLICIES: list[dict[str, Any]] = [
    {"name": "all"},
    {"name": "random"},
    {"name": "random", "operations": 5},
    {"name": "stacked", "operations": 1},
    {
        "name": "learned",
        "operations": {"tilt": {"probability": 0.5, "magnitude": 1.5}, "time_mask": {"magnitude": 0.5}},
    },
]
every_policy = pytest.mark.parametrize(
    "policy", POLICIES, ids=lambda policy: "-".join(map(str, policy.values()))[:12]
)


def build(policy: dict[str, Any], strength: float = 1.0) -> Policy:
    return build_policy(AugmentConfig.model_validate({"strength": strength, "policy": policy}), RATE)


def choice(policy: Policy, batch: int, seed: int = 1) -> NDArray[np.bool_]:
    return policy.choose(np.random.default_rng(seed), (batch,))


def view(policy: Policy, log_mel: Tensor, seed: int = 3) -> Tensor:
    generator = Generator().manual_seed(seed)
    return policy.augment_log_mels(log_mel, choice(policy, len(log_mel)), generator)[0]


@every_policy
def test_strength_0_is_the_identity_bit_for_bit(policy: dict[str, Any], log_mel: Tensor) -> None:
    built = build(policy, 0)
    assert view(built, log_mel) is log_mel
    assert not choice(built, 16).any()


@every_policy
def test_mean_distortion_grows_with_the_strength(
    policy: dict[str, Any], make_log_mel: Callable[..., Tensor]
) -> None:
    log_mel = make_log_mel(batch=256)
    distortions = [
        (view(build(policy, strength), log_mel) - log_mel).abs().mean().item()
        for strength in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
    ]
    assert distortions[0] == 0
    assert all(weak < strong for weak, strong in itertools.pairwise(distortions)), distortions


@every_policy
def test_the_input_is_untouched_and_the_seeds_alone_decide(policy: dict[str, Any], log_mel: Tensor) -> None:
    before = log_mel.clone()
    built = build(policy)
    first = view(built, log_mel)
    assert torch.equal(log_mel, before)
    torch.manual_seed(5)
    assert torch.equal(view(built, log_mel), first)
    assert not torch.equal(view(built, log_mel, seed=4), first)


def test_all_applies_everything_in_the_listed_order(log_mel: Tensor) -> None:
    listed = [{"name": "time_mask", "max_share": 0.5}, {"name": "gain"}]
    generator = Generator().manual_seed(3)
    masked, _ = TimeMaskConfig(max_share=0.5).build(1.5)(log_mel, generator)
    expected, _ = GainConfig().build(1.5)(masked, generator)
    assert torch.equal(view(build({"name": "all", "augmentations": listed}, 1.5), log_mel), expected)
    backwards = build({"name": "all", "augmentations": listed[::-1]}, 1.5)
    assert not torch.equal(view(backwards, log_mel), expected)


def test_a_bare_name_is_an_augmentation_with_its_defaults() -> None:
    named = AugmentConfig.model_validate({"policy": {"name": "all", "augmentations": ["gain", "time_mask"]}})
    assert augmentations_of(named) == (GainConfig(), TimeMaskConfig())
    with pytest.raises(ValidationError, match=r"'gian' .* does not match any of the expected tags"):
        AugmentConfig.model_validate({"policy": {"name": "all", "augmentations": ["gian"]}})


def test_no_augmentations_leave_crops_as_they_are(log_mel: Tensor) -> None:
    assert view(build({"name": "all", "augmentations": []}), log_mel) is log_mel


@pytest.mark.parametrize("operations", [1, 3, 6])
def test_random_draws_so_many_of_the_pool_all_equally_often(operations: int) -> None:
    pool = [
        {"name": name}
        for name in ("mix_back", "random_resized_crop", "gain", "tilt", "frequency_mask", "time_mask")
    ]
    chosen = choice(build({"name": "random", "operations": operations, "pool": pool}), 6000)
    assert set(chosen.sum(1).tolist()) == {operations}
    np.testing.assert_allclose(chosen.mean(0), operations / len(pool), atol=0.03)


def test_stacked_is_random_and_then_all() -> None:
    pool = [{"name": "gain"}, {"name": "tilt"}, {"name": "time_mask"}]
    chain = [{"name": "random_resized_crop"}, {"name": "frequency_mask"}]
    policy = build({"name": "stacked", "operations": 2, "pool": pool, "augmentations": chain})
    assert policy.names == ("gain", "tilt", "time_mask", "random_resized_crop", "frequency_mask")
    chosen = choice(policy, 200)
    assert chosen[:, 3:].all()
    assert set(chosen[:, :3].sum(1).tolist()) == {2}


def test_learned_has_a_probability_and_a_magnitude_for_each(make_log_mel: Callable[..., Tensor]) -> None:
    operations = {
        "gain": {"probability": 0.25, "magnitude": 2.0, "ranges": {"max_gain_db": 3}},
        "tilt": {"magnitude": 4.0},
    }
    policy = build({"name": "learned", "operations": operations}, strength=1.5)
    assert policy.names == ("gain", "tilt")
    np.testing.assert_allclose(choice(policy, 4000).mean(0), [0.25, 1.0], atol=0.03)
    gain, tilt = policy.spectrogram.values()
    assert (gain.strength, tilt.strength) == (3.0, 4.0)  # 1.5 x 4 ends at the highest strength
    config = AugmentConfig.model_validate({"policy": {"name": "learned", "operations": operations}})
    assert augmentations_of(config)[0] == GainConfig(max_gain_db=3, probability=0.25)


def test_a_learned_policy_is_read_from_a_file_which_keys_can_change(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("operations:\n  tilt: {probability: 0.5, magnitude: 1.2}\n  gain:\n")
    read = AugmentConfig.model_validate({"policy": {"name": "learned", "file": str(file)}})
    assert [(one.name, one.probability) for one in augmentations_of(read)] == [("tilt", 0.5), ("gain", 1.0)]
    none = AugmentConfig.model_validate(
        {"policy": {"name": "learned", "file": str(file), "operations": {"tilt": None, "time_reversal": {}}}}
    )
    assert [one.probability for one in augmentations_of(none)] == [0.5, 1.0, 0.2]  # of a reversal, its own
    with pytest.raises(ValidationError, match=r"operations.tilt=0.3: write operations.tilt: {magnitude: 1}"):
        AugmentConfig.model_validate(
            {"policy": {"name": "learned", "file": str(file), "operations": {"tilt": 0.3}}}
        )
    assert AugmentConfig.model_validate(read.model_dump(mode="json")) == read
    changed = {"name": "learned", "file": str(file), "operations": {"tilt": {"magnitude": 0.3}}}
    policy = AugmentConfig.model_validate({"policy": changed}).policy
    assert policy.operations["tilt"].magnitude == 0.3  # type: ignore[union-attr]
    assert policy.operations["tilt"].probability == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"file=.*policy.yaml cannot be read as YAML: No such file"),
        ("operations: [", r"file=.*policy.yaml cannot be read as YAML"),
        ("tilt: {}", r"file=.*policy.yaml must contain one key, `operations:`"),
        ("operations: {tilt: 3}", r"operations.tilt"),
        (
            "operations: {flanger: {}}",
            r"operations.flanger: Input tag 'flanger' .* does not match any of the expected",
        ),
        ("operations: {tilt: {probability: 2}}", r"tilt.probability"),
        (
            "operations: {tilt: {ranges: {probability: 0.2}}}",
            r"ranges.probability is not a range: write operations.tilt",
        ),
        ("operations: [tilt]", r"policy.yaml must contain one key, `operations:`"),
        (
            "operations: {tilt: {ranges: {max_tilt: 2}}}",
            r"operations.tilt.ranges.max_tilt: Extra inputs are not permitted",
        ),
    ],
)
def test_a_bad_policy_file_is_refused_by_what_is_wrong(
    text: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValidationError, match=message):
        AugmentConfig.model_validate({"policy": {"name": "learned", "file": str(file)}})


def test_waveform_augmentations_are_chosen_with_the_others_and_seeded_one_by_one() -> None:
    listed = [{"name": "tilt"}, {"name": "waveform_gain", "probability": 0.5}, {"name": "polarity"}]
    policy = build({"name": "all", "augmentations": listed})
    assert (list(policy.waveform), list(policy.spectrogram)) == ([1, 2], [0])
    crop = np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    seeds = np.array([1, 2, 3], dtype=np.uint32)
    both, applied = policy.augment_waveform(crop, np.array([True, True, True]), seeds)
    assert [name for name, _ in applied] == ["waveform_gain", "polarity"]
    np.testing.assert_array_equal(both, -crop * np.float32(applied[0][1]["amplitude_ratio"]))
    alone, [(_, numbers)] = policy.augment_waveform(crop, np.array([True, True, False]), seeds)
    assert numbers == applied[0][1]
    np.testing.assert_array_equal(alone, -both)
    untouched, applied = policy.augment_waveform(crop, np.array([True, False, False]), seeds)
    assert untouched is crop
    assert applied == []


def test_as_many_choices_as_views_are_wanted(log_mel: Tensor) -> None:
    policy = build({"name": "all"})
    with pytest.raises(ValueError, match=r"chosen has shape \(3, 6\); 16 views and 6 augmentations need"):
        policy.augment_log_mels(log_mel, choice(policy, 3), Generator())


def test_the_augmentations_applied_to_log_mels_are_returned(log_mel: Tensor) -> None:
    policy = build({"name": "random", "operations": 1, "pool": [{"name": "gain"}, {"name": "tilt"}]})
    chosen = choice(policy, len(log_mel))
    changed, applied = policy.augment_log_mels(log_mel, chosen, Generator().manual_seed(3))
    assert [name for name, _, _ in applied] == ["gain", "tilt"]
    _, examples, parameters = applied[0]
    assert examples.tolist() == chosen[:, 0].tolist()
    row = int(np.flatnonzero(chosen[:, 0])[0])
    difference = (changed - log_mel)[row] * 10 / np.log(10)
    torch.testing.assert_close(difference, parameters.gain_db[row].expand_as(difference), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"strength": -0.5}, "strength"),
        ({"strength": 4.5}, "strength"),
        ({"policy": {"name": "none"}}, r"policy\n.*'none' .* does not match"),
        (
            {"policy": {"name": "all", "augmentations": [{"name": "gain", "max_gain_db": -3}]}},
            r"augmentations\.0.*max_gain_db",
        ),
        (
            {"policy": {"name": "all", "augmentations": [{"name": "gain", "probability": 1.5}]}},
            r"augmentations\.0.*probability",
        ),
        (
            {"policy": {"name": "random", "operations": 2, "pool": [{"name": "gain"}]}},
            "operations=2 is more than the pool's 1",
        ),
        ({"policy": {"name": "learned"}}, "operations"),
        ({"polices": {}}, "polices"),
    ],
)
def test_an_invalid_config_is_refused_by_key(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        AugmentConfig.model_validate(values)
