"""The validation score of a run, by which a sweep compares its trials; no label of a tested clip is read for it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from echopair.models.audio_encoder import AudioEncoder
from echopair.pipeline.embed import EmbedConfig, embed_clips
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.folds import held_out_part, official_folds, rarest_labels, source_parts
from echopair.pipeline.evaluation.linear_classifier import LinearClassifier
from echopair.pipeline.evaluation.nearest_neighbours import nearest_neighbour_score
from echopair.pipeline.evaluation.probe import ProbeConfig, label_targets
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.pretrain import Diverged

VALIDATION_VERSION = 1
VALIDATION_FILE = "validation.json"
# Inverse regularisation strengths C between which accuracies are flat; fixed, since a choice among few sources
# varies more than it gains.
STRENGTHS = (0.01, 0.1)
# Not the seed of a run: all trials are scored on the same parts of the same clips.
PARTS_SEED = 0
# Clips of a corpus that a reading embeds at most, so that it takes seconds in the middle of a training.
READING_CLIPS = 600


@dataclass(frozen=True)
class ValidationScore:
    """How well a linear probe tells the validation clips of a corpus apart.

    Args:
        corpus: its name.
        metric: accuracy, or mean_average_precision of clips with several labels.
        protocol: what was learned from and scored, in words.
        score: mean over the parts, 0 to 1.
        per_part: score of each part, the mean over the fixed strengths.
        clips: validation clips, scored or learned from.
    """

    corpus: str
    metric: Literal["accuracy", "mean_average_precision"]
    protocol: str
    score: float
    per_part: tuple[float, ...]
    clips: int

    def summary(self) -> dict[str, Any]:
        """What validation.json holds."""
        return {**asdict(self), "per_part": list(self.per_part)}


def validation_sets(
    stores: Mapping[str, ClipStore], config: ProbeConfig, probed: Sequence[str]
) -> dict[str, tuple[ClipStore, NDArray[np.int64]]]:
    """The clips of each validation corpus whose labels may choose settings.

    A clip whose very samples are tested on, in this corpus or under another name, is left out as well.

    Args:
        stores: of all corpora that are probed or validate.
        config: which corpora validate, and what is tested on.
        probed: names of the corpora that are probed with `held_out`.

    Raises:
        UserError: nothing can be held out to test on, or nothing is left to choose on.
    """
    tested: set[str | None] = set()
    for corpus in probed:
        sounds = np.array(stores[corpus].column("samples_sha256"), dtype=object)
        tested |= set(sounds[_tested_clips(corpus, stores[corpus], config)])
    sets = {}
    for corpus in config.validation_corpora or tuple(probed):
        store = stores[corpus]
        sounds = np.array(store.column("samples_sha256"), dtype=object)
        clips = validation_clips(corpus, store, config, tested=corpus in probed)
        clips = clips[[sound not in tested for sound in sounds[clips]]]
        if not len(clips):
            raise UserError(
                f"corpus {corpus!r}: every clip is tested on, and none is left to choose settings on; name "
                "another corpus in probe.validation_corpora"
            )
        sets[corpus] = (store, clips)
    return sets


def validation_clips(
    corpus: str, store: ClipStore, config: ProbeConfig, *, tested: bool
) -> NDArray[np.int64]:
    """The clips of one corpus whose labels may choose settings.

    Args:
        corpus: its name.
        store: its annotations.
        config: what is tested on.
        tested: whether the corpus is probed: all clips then but the part that `held_out` tests on; otherwise all
            but those of the split `test`.

    Raises:
        UserError: nothing can be held out to test on.
    """
    everything = np.arange(len(store.labels()))
    if tested:
        return np.setdiff1d(everything, _tested_clips(corpus, store, config))
    return everything[[split != "test" for split in store.column("split")]]


def _tested_clips(corpus: str, store: ClipStore, config: ProbeConfig) -> NDArray[np.int64]:
    return held_out_part(
        corpus,
        store.labels(),
        store.column("fold"),
        store.column("split"),
        store.column("group"),
        test_folds=config.test_folds,
        number=config.folds,
    ).test


def validation_score(
    corpus: str,
    store: ClipStore,
    embeddings: NDArray[np.float32],
    clips: NDArray[np.int64],
    config: ProbeConfig,
) -> ValidationScore:
    """Score a linear probe on parts of the validation clips in turn, learned from the other parts.

    Args:
        corpus: its name.
        store: its annotations; labels of other clips change nothing.
        embeddings: (all clips, D) in the store's order; those of other clips are not read.
        clips: indices of the validation clips.
        config: number of parts.

    Raises:
        UserError: clips without labels, of one class, or of too few sources to hold any out.
        Diverged: an embedding is NaN or infinite.
    """
    task = _task(corpus, store, clips, config)
    features = embeddings[clips]
    _check_finite(corpus, features)
    per_part = []
    # As for the probe: the products are small, and a second thread would wait for the first.
    with threadpool_limits(1):
        for part in task.parts:
            learn = np.setdiff1d(np.arange(len(clips)), part)
            classifier = LinearClassifier(features[learn], task.targets[learn], task.several)
            scores = [classifier.fit(strength).scores(features[part]) for strength in STRENGTHS]
            per_part.append(
                float(np.mean([score_of(one, task.targets[part], task.several) for one in scores]))
            )
    return ValidationScore(
        corpus,
        "mean_average_precision" if task.several else "accuracy",
        task.protocol,
        float(np.mean(per_part)),
        tuple(per_part),
        len(clips),
    )


class NeighbourProbe:
    """The nearest-neighbour probe of validation clips, to be read while an encoder is being trained.

    Args:
        corpora: by name, a store and the indices of its validation clips, as from `validation_sets`.
        config: number of parts.
        embed_config: where and how to embed.

    Attributes:
        clips: of each corpus, the clips that are embedded: a fixed draw of at most `READING_CLIPS` of those given,
            with the classes' shares of all.

    Raises:
        UserError: clips without labels, of one class, or of too few sources to hold any out.
    """

    def __init__(
        self,
        corpora: Mapping[str, tuple[ClipStore, NDArray[np.int64]]],
        config: ProbeConfig,
        embed_config: EmbedConfig,
    ) -> None:
        self._embed_config = embed_config
        self._tasks = {
            corpus: (store, _reading_task(_task(corpus, store, clips, config)))
            for corpus, (store, clips) in corpora.items()
        }
        self.clips = {corpus: task.clips for corpus, (_, task) in self._tasks.items()}

    def read(self, encoder: AudioEncoder) -> float:
        """Mean over the corpora of the accuracy, or mean average precision, of the nearest clips' votes.

        Clips are embedded as `embed` does, by a copy: the mode, the statistics, the device and the gradients of an
        encoder that is being trained stay as they are, and nothing is drawn or printed.

        Args:
            encoder: in any mode, on any device.

        Raises:
            Diverged: an embedding is NaN or infinite.
        """
        settings = self._embed_config
        copied = AudioEncoder(
            encoder.config,
            copy.deepcopy(encoder.encoder),
            device=settings.device,
            precision=settings.precision,
        )
        scores = []
        for corpus, (store, task) in self._tasks.items():
            embeddings = embed_clips(store, task.clips, copied, settings.batch_crops)
            _check_finite(corpus, embeddings)
            scores.append(nearest_neighbour_score(embeddings, task.targets, task.parts, task.several))
        return float(np.mean(scores))


def _check_finite(corpus: str, embeddings: NDArray[np.float32]) -> None:
    if not np.isfinite(embeddings).all():
        raise Diverged(
            f"corpus {corpus!r}: embeddings are NaN or infinite, so the training diverged; lower "
            "pretrain.learning_rate, raise objective.temperature or set pretrain.precision=float32"
        )


class _Task(NamedTuple):
    """What clips are told apart by, and the parts of them that are scored in turn; parts count rows of `clips`."""

    clips: NDArray[np.int64]  # (N,) in the store
    strata: NDArray[np.str_]  # (N,)
    targets: NDArray[np.int8]  # (N, classes)
    several: bool
    protocol: str
    parts: list[NDArray[np.int64]]


def _task(corpus: str, store: ClipStore, clips: NDArray[np.int64], config: ProbeConfig) -> _Task:
    labels_of, paths = store.labels(), store.column("path")
    labels = [labels_of[clip] for clip in clips]
    unlabelled = [clip for clip in clips if not labels_of[clip]]
    if unlabelled:
        raise UserError(
            f"corpus {corpus!r}: {len(unlabelled)} of {len(clips)} validation clips have no label, first "
            f"{paths[unlabelled[0]]}; label them, or name corpora that have labels in probe.validation_corpora"
        )
    classes, targets = label_targets(labels)
    if len(classes) < 2:
        raise UserError(
            f"corpus {corpus!r}: every validation clip is labelled {classes[0]!r}, and a score tells classes "
            "apart; add another class, or name other corpora in probe.validation_corpora"
        )
    protocol, parts = _parts(store, clips, labels, config.folds)
    # Of one class alone nothing is learned.
    parts = [part for part in parts if np.delete(targets, part, axis=0).any(0).sum() > 1]
    if not parts:
        raise UserError(
            f"corpus {corpus!r}: the {len(clips)} clips that are not tested on come from too few sources to learn "
            f"from some and score others; add recordings of other sources, mend corpora.{corpus}.group, or name "
            "other corpora in probe.validation_corpora"
        )
    several = any(len(clip) > 1 for clip in labels)
    return _Task(clips, rarest_labels(labels), targets, several, protocol, parts)


def _parts(
    store: ClipStore, clips: NDArray[np.int64], labels: Sequence[tuple[str, ...]], number: int
) -> tuple[str, list[NDArray[np.int64]]]:
    """The split `validation` where it is given, else parts of whole sources; the protocol first.

    Where no source is named the official folds are the parts, since those who made them kept sources together.
    """
    folds, splits, groups = (
        np.array(store.column(name), dtype=object)[clips] for name in ("fold", "split", "group")
    )
    set_aside = np.flatnonzero(splits == "validation")
    if 0 < len(set_aside) < len(clips):
        return "the given split", [set_aside]
    known = official_folds(folds.tolist())
    if len(known) > 1 and not any(groups):
        return f"{len(known)} official folds", [np.flatnonzero(folds == fold) for fold in known]
    parts = source_parts(labels, groups.tolist(), number, PARTS_SEED)
    return f"{len(parts)} folds by class and source", parts


def _reading_task(task: _Task) -> _Task:
    """At most `READING_CLIPS` of the clips, half of them scored where some are learned from alone."""
    scored = np.unique(np.concatenate(task.parts))
    learned = np.setdiff1d(np.arange(len(task.clips)), scored)
    wanted = READING_CLIPS - min(len(learned), READING_CLIPS // 2)
    chosen = np.sort(
        np.concatenate(
            [
                _representative(scored, task.strata, wanted),
                _representative(learned, task.strata, READING_CLIPS - min(len(scored), wanted)),
            ]
        )
    )
    parts = [np.flatnonzero(np.isin(chosen, part)) for part in task.parts]
    return task._replace(
        clips=task.clips[chosen],
        strata=task.strata[chosen],
        targets=task.targets[chosen],
        parts=[part for part in parts if len(part)],
    )


def _representative(rows: NDArray[np.int64], strata: NDArray[np.str_], wanted: int) -> NDArray[np.int64]:
    """At most so many of the rows, drawn with each stratum's share of all."""
    shuffled = np.random.default_rng(PARTS_SEED).permutation(rows)
    place = np.empty(len(rows))
    for stratum in np.unique(strata[rows]):
        members = np.flatnonzero(strata[shuffled] == stratum)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place, kind="stable")[:wanted]]
