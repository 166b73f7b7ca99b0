"""What can be known before any long work: a run that would fail later is refused here."""

import tempfile
from enum import IntEnum

from echopair.augment.policy import augmentations_of
from echopair.models.precision import resolve_device
from echopair.pipeline.config import RunConfig
from echopair.pipeline.corpora import Recording, find_recordings
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.probe import check_labels
from echopair.pipeline.tracking import check_tracking
from echopair.pipeline.training.learner import initial_encoder


class Stage(IntEnum):
    """The stages, in their order."""

    PREPARE = 1
    PRETRAIN = 2
    EMBED = 3
    VALIDATE = 4
    PROBE = 5


def check(config: RunConfig, until: Stage) -> dict[str, list[Recording]]:
    """Find what would fail before anything long is started.

    Returns:
        The recordings of each corpus that the stages up to `until` need.

    Raises:
        UserError: an unwritable work folder, an unreachable tracking server, a missing corpus or device, an
            augmentation that this machine cannot do, labels that no probe or no positives can use.
    """
    work = config.work_folder.absolute()
    try:
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work):
            pass
    except OSError as error:
        raise UserError(
            f"work_folder={work} cannot be written to ({error.strerror}); set work_folder to another folder"
        ) from error
    for key, device in (("pretrain.device", config.pretrain.device), ("embed.device", config.embed.device)):
        try:
            resolve_device(device)
        except ValueError as error:
            raise UserError(f"{key}: {error}") from error
    if until >= Stage.PRETRAIN:
        check_tracking(config.tracking, work)
        check_learning(config)
    names = set(config.pretrain_corpora)
    names |= set(config.probe_corpora) if until == Stage.EMBED else scored_corpora(config, until)
    names = set(config.corpora) if until == Stage.PREPARE else names
    recordings = {
        name: find_recordings(name, corpus, work) for name, corpus in config.corpora.items() if name in names
    }
    if config.crops.positives.name == "same_label" and until >= Stage.PRETRAIN:
        _check_labels_to_learn_from(config, until, recordings)
    if until >= Stage.VALIDATE:
        for corpus in sorted(scored_corpora(config, until)):
            found = recordings[corpus]
            check_labels(corpus, [one.labels for one in found], [one.name for one in found])
            if corpus not in config.probe_corpora:
                continue
            folds = {one.fold for one in found}
            for fold in config.probe.test_folds:
                if fold not in folds:
                    named = ", ".join(sorted(fold for fold in folds if fold)) or "none"
                    raise UserError(
                        f"probe.test_folds: corpus {corpus!r} has no fold {fold!r}; its folds are {named}"
                    )
    return recordings


def scored_corpora(config: RunConfig, until: Stage) -> set[str]:
    """Names of the corpora whose labels the stages up to one read, or must not have learned from."""
    if until >= Stage.VALIDATE and config.probe.held_out:
        return {*config.probe_corpora, *config.validation_corpora}
    return set(config.probe_corpora) if until == Stage.PROBE else set()


def check_learning(config: RunConfig) -> None:
    """Find augmentations and encoders that this machine cannot do.

    Raises:
        UserError: names the key.
    """
    for augmentation in (one for augment in config.augment_configs for one in augmentations_of(augment)):
        try:
            augmentation.check(config.log_mel.sample_rate_hz)
        except ValueError as error:
            raise UserError(f"augment.policy: augmentation {augmentation.name!r}: {error}") from error
    try:
        initial_encoder(config.encoder, config.seed)
    except ValueError as error:
        raise UserError(f"encoder: {error}") from error


def _check_labels_to_learn_from(
    config: RunConfig, until: Stage, recordings: dict[str, list[Recording]]
) -> None:
    if not any(one.labels for corpus in config.pretrain_corpora for one in recordings[corpus]):
        raise UserError(
            "crops.positives.name=same_label needs labels, and no recording of "
            f"{', '.join(config.pretrain_corpora)} has any; name corpora with labels in pretrain.corpora, or set "
            "crops.positives.name=two_offsets"
        )
    both = sorted(set(config.pretrain_corpora) & scored_corpora(config, until))
    if both:
        raise UserError(
            f"crops.positives.name=same_label learns from the labels of {both[0]!r}, and a probe of the same clips "
            "would know its test clips; name different corpora in pretrain.corpora and probe.corpora"
        )
