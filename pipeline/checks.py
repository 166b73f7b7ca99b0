"""What can be known before any long work: a run that would fail later is refused here."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from enum import IntEnum

from echopair.augment.policy import augmentations_of
from echopair.augment.waveform.augmentation import WaveformConfig
from echopair.models.precision import resolve_device
from echopair.pipeline.config import RunConfig
from echopair.pipeline.corpora import Recording, find_recordings
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation import EVALUATIONS, Evaluation
from echopair.pipeline.evaluation.labels import Annotations, ListedRecordings
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import check_tracking
from echopair.pipeline.training.learner import check_data, initial_encoder
from echopair.pipeline.training.learning_data import data_by_config
from echopair.pipeline.training.ray_pretrain import check_processes


class Stage(IntEnum):
    """The stages, in their order."""

    PREPARE = 1
    PRETRAIN = 2
    EMBED = 3
    VALIDATE = 4  # evaluations that read no test label
    EVALUATE = 5


def check(
    config: RunConfig, until: Stage, listed: dict[str, list[Recording]] | None = None
) -> dict[str, list[Recording]]:
    """Find what would fail before anything long is started.

    Args:
        config: of the run.
        until: last stage.
        listed: recordings by corpus of checks of other runs with the same corpora, which are not listed again; gets
            those that are listed now.

    Returns:
        The recordings of each corpus that the stages up to `until` need.

    Raises:
        UserError: an unwritable work folder, an unreachable tracking server, a missing corpus or device, an
            augmentation that this machine cannot do, labels or folds that no probe or no positives can use, more
            processes than there is room for.
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
    if until >= Stage.PRETRAIN:
        devices = {"pretrain.device": config.pretrain.device, "embed.device": config.embed.device}
        if config.pretrain.processes > 1 and config.ray.address:
            del devices["pretrain.device"]  # of the cluster, not of this machine
        for key, device in devices.items():
            try:
                resolve_device(device)
            except ValueError as error:
                raise UserError(f"{key}: {error}") from error
        check_tracking(config.tracking, work)
        check_learning(config)
        if config.pretrain.processes > 1:
            check_processes(config)
    names = set(config.pretrain_corpora)
    names |= scored_corpora(config, until)
    names = set(config.corpora) if until in (Stage.PREPARE, Stage.EMBED) else names
    listed = {} if listed is None else listed
    for name, corpus in config.corpora.items():
        if name in names and name not in listed:
            listed[name] = find_recordings(name, corpus, work)
    recordings = {name: listed[name] for name in config.corpora if name in names}
    if config.learning.learns_labels and until >= Stage.PRETRAIN:
        _check_labels_to_learn_from(config, until, recordings)
    check_annotations(config, until, {name: ListedRecordings(found) for name, found in recordings.items()})
    return recordings


def check_clips(config: RunConfig, until: Stage, stores: Mapping[str, ClipStore]) -> list[str]:
    """Find, before the training, what would fail because of recordings that were refused or of clips that are equal.

    Returns:
        What a person should know of the scores beforehand, a sentence each.

    Raises:
        UserError: labels or folds that no probe can use; equal samples in both parts of a split; clips that are learned
            from by label and scored too.
    """
    notes = check_annotations(config, until, stores)
    _check_disjoint(config, until, stores)
    return notes


def check_annotations(config: RunConfig, until: Stage, clips: Mapping[str, Annotations]) -> list[str]:
    """Try out labels and folds; see `Evaluation.check`."""
    return [note for evaluation in evaluations_until(until) for note in evaluation.check(config, clips)]


def evaluations_until(until: Stage) -> list[Evaluation]:
    """The evaluations that belong to the stages up to one; up to `validate` those that read no test label."""
    return [
        one
        for one in EVALUATIONS.values()
        if until >= (Stage.EVALUATE if one.reads_test_labels else Stage.VALIDATE)
    ]


def scored_corpora(config: RunConfig, until: Stage) -> set[str]:
    """Names of the corpora whose labels the stages up to one read, or must not have learned from."""
    return {corpus for evaluation in evaluations_until(until) for corpus in evaluation.reads(config)}


def check_learning(config: RunConfig) -> None:
    """Find augmentations and encoders that this machine cannot do, and data that the method cannot learn from.

    Raises:
        UserError: names the key.
    """
    for augmentation in (one for augment in config.augment_configs for one in augmentations_of(augment)):
        try:
            augmentation.check(config.log_mel.sample_rate_hz)
        except ValueError as error:
            raise UserError(f"augment.policy: augmentation {augmentation.name!r}: {error}") from error
        if isinstance(augmentation, WaveformConfig) and config.crops.log_mel_of == "clip":
            raise UserError(
                f"augment.policy: augmentation {augmentation.name!r} changes waveforms, and crops.log_mel_of=clip "
                "takes log-mels that are computed before; leave it out or set crops.log_mel_of=crop"
            )
    try:
        encoder = initial_encoder(config.encoder, config.seed)
    except ValueError as error:
        raise UserError(f"encoder: {error}") from error
    check_data(config.learning, encoder, data_by_config(config.learning))


def _check_labels_to_learn_from(
    config: RunConfig, until: Stage, recordings: dict[str, list[Recording]]
) -> None:
    counts = Counter(
        label for corpus in config.pretrain_corpora for one in recordings[corpus] for label in one.labels
    )
    if max(counts.values(), default=0) < 2:
        lack = "no two recordings of {} share one" if counts else "no recording of {} has any"
        raise UserError(
            f"{_label_key(config)} needs labels, and {lack.format(', '.join(config.pretrain_corpora))}; "
            "name corpora with labels in pretrain.corpora, or learn without labels"
        )
    if config.objective.LEARNS_LABELS and len(counts) < 2:
        raise UserError(
            f"{_label_key(config)} tells labels apart, and {', '.join(config.pretrain_corpora)} has only "
            f"{next(iter(counts))!r}; name corpora with more labels in pretrain.corpora, or learn without labels"
        )
    both = sorted(set(config.pretrain_corpora) & scored_corpora(config, until))
    if both:
        raise UserError(
            f"{_label_key(config)} learns from the labels of {both[0]!r}, and a probe would be tested on "
            "the same clips; name different corpora in pretrain.corpora and probe.corpora"
        )


def _check_disjoint(config: RunConfig, until: Stage, stores: Mapping[str, ClipStore]) -> None:
    """Refuse to learn from the labels of clips that are scored, which two corpora may hold under two names."""
    if not config.learning.learns_labels:
        return
    learned = {digest for name in config.pretrain_corpora for digest in stores[name].column("samples_sha256")}
    for name in sorted(scored_corpora(config, until)):
        shared = learned.intersection(stores[name].column("samples_sha256"))
        if shared:
            raise UserError(
                f"{_label_key(config)} learns from the labels of {len(shared)} clips that corpus {name!r} "
                "holds too, and a probe would be tested on them; probe a corpus that shares none"
            )


def _label_key(config: RunConfig) -> str:
    """The setting by which labels are learned from."""
    if config.objective.LEARNS_LABELS:
        return f"objective.name={config.objective.name}"
    return f"crops.positives.name={config.crops.positives.name}"
