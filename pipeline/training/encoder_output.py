"""What decides an encoder: the declaration of the stage that trains it."""

from collections.abc import Mapping
from typing import Any

from echopair.augment.choice import AugmentationChoice
from echopair.augment.policy import augmentations_of
from echopair.augment.waveform.augmentation import WaveformConfig
from echopair.pipeline.config import RunConfig
from echopair.pipeline.stages import Done, StageOutput

PRETRAIN_VERSION = 5


def encoder_output(config: RunConfig, clips: Mapping[str, Done]) -> StageOutput:
    """Where the encoder of a config is kept, and what decides it.

    Args:
        config: of the run.
        clips: prepared clips by corpus.
    """
    learned_from = [clips[corpus] for corpus in config.pretrain_corpora]
    annotations = [
        done.marker["annotations_digest"] for done in learned_from if config.learning.learns_labels
    ]
    return StageOutput(
        "pretrain",
        config.work_folder.absolute() / "encoders" / config.encoder.name,
        [config.learning.key_inputs(), sounds(config), [done.digest for done in learned_from], annotations],
        PRETRAIN_VERSION,
        _libraries(config),
        keep_partial=True,
    )


def _libraries(config: RunConfig) -> tuple[str, ...]:
    libraries = ["torch", "torchaudio"]
    if config.encoder.name == "timm":
        libraries.append("timm")
    if any(isinstance(one, WaveformConfig) for one in _augmentations(config)):
        libraries += ["audiomentations", "soundfile", "soxr"]  # the last two for sounds that are mixed in
    return tuple(libraries)


def sounds(config: RunConfig) -> list[Any]:
    """The user's own sounds that views are made with: other ones make another encoder."""
    return [one.contents() for one in _augmentations(config) if one.contents()]


def _augmentations(config: RunConfig) -> list[AugmentationChoice]:
    return [one for augment in config.augment_configs for one in augmentations_of(augment)]
