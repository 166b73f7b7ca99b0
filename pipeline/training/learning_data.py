"""What is known, before the first step, of what a method will learn from."""

from echopair.augment.policy import build_policy
from echopair.models.methods.method import LearningData
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.crops import PairCrops
from echopair.pipeline.training.learner import LearningConfig, initial_encoder


def learning_data(crops: PairCrops, config: LearningConfig) -> LearningData:
    """What the method will learn from.

    Args:
        crops: of the training's first phase.
        config: of the training.

    Raises:
        UserError: the method cannot learn from it.
    """
    data = LearningData(
        len(crops.segments),
        crops.label_names,
        varying_augmentations(config),
        config.log_mel.mel_bands,
        config.log_mel.frames(crops.crop_samples),
    )
    try:
        config.objective.check_data(initial_encoder(config.encoder, config.seed), data)
    except ValueError as error:
        raise UserError(str(error)) from error
    return data


def varying_augmentations(config: LearningConfig) -> tuple[str, ...]:
    """Names of the augmentations that some views get and others do not, in any phase of the schedule."""
    steps = (0, *(change.step for change in config.pretrain.schedule))
    policies = [build_policy(config.config_at(step).augment, config.log_mel.sample_rate_hz) for step in steps]
    return tuple(sorted({name for policy in policies for name in policy.varying()}))
