"""What is known, before the first step, of what a method will learn from."""

from dataclasses import replace

from echopair.augment.policy import build_policy
from echopair.models.methods.method import LearningData
from echopair.pipeline.training.crops import PairCrops
from echopair.pipeline.training.learner import LearningConfig


def learning_data(crops: PairCrops, config: LearningConfig) -> LearningData:
    """What the method will learn from.

    Args:
        crops: of the training's first phase.
        config: of the training.
    """
    return replace(data_by_config(config), segments=len(crops.segments), labels=crops.label_names)


def data_by_config(config: LearningConfig) -> LearningData:
    """What the config alone tells of it: all but segments and labels."""
    steps = (0, *(change.step for change in config.pretrain.schedule))
    policies = [build_policy(config.config_at(step).augment, config.log_mel.sample_rate_hz) for step in steps]
    return LearningData(
        # In any phase of the schedule.
        augmentations=tuple(sorted({name for policy in policies for name in policy.varying()})),
        mel_bands=config.log_mel.mel_bands,
        frames=config.log_mel.frames(round(config.crops.crop_seconds * config.log_mel.sample_rate_hz)),
        waveforms=config.crops.log_mel_of == "crop",
    )
