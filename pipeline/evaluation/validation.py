"""The validation score of a run, by which a sweep compares its trials; it uses no label of a tested clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from echopair.lazy import np
from echopair.pipeline.embed import PRETRAINED, Embeddings
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.base import Evaluation, ResultTable, Summary
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.folds import official_folds
from echopair.pipeline.evaluation.labels import (
    Annotations,
    check_labels,
    class_sets,
    label_targets,
    sources_of,
)
from echopair.pipeline.evaluation.source_folds import SourceFolds, rarest_labels
from echopair.pipeline.evaluation.validation_clips import validation_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.evaluation.probe import ProbeConfig
    from echopair.pipeline.store import ClipStore

VALIDATION_VERSION = 4
# Values of C between which accuracies are flat; fixed, since a choice among few sources varies more than it gains.
C_VALUES = (0.01, 0.1)
# Not the seed of a run: all trials are scored on the same folds of the same clips.
FOLDS_SEED = 0


class Validation(Evaluation):
    """The validation score, of runs that set a test split apart (`probe.test_split`), as trials of a sweep do."""

    name = "validation"
    code_version = VALIDATION_VERSION
    libraries = ("scikit-learn", "scipy")
    reads_test_labels = False

    def corpora(self, config: RunConfig) -> tuple[str, ...]:
        """The validation corpora; none without a test split."""
        return config.validation_corpora if config.probe.test_split else ()

    def reads(self, config: RunConfig) -> set[str]:
        """The validation corpora, and those whose test clips are left out."""
        return {*self.corpora(config), *config.probe_corpora} if config.probe.test_split else set()

    def check(self, config: RunConfig, clips: Mapping[str, Annotations]) -> list[str]:
        """Try the labels and the folds of the validation clips."""
        for corpus in sorted(self.reads(config)):
            check_labels(corpus, clips[corpus])
        if self.corpora(config):
            for corpus, (own, chosen) in validation_sets(clips, config.probe, config.probe_corpora).items():
                validation_task(corpus, own, chosen, config.probe)
        return []

    def settings(self, config: RunConfig, stores: Mapping[str, ClipStore], corpus: str) -> Any:
        """The clips whose labels may choose settings, and the number of folds."""
        return [config.probe.folds, self._clips(config, stores, corpus).tolist()]

    def evaluate(
        self,
        config: RunConfig,
        stores: Mapping[str, ClipStore],
        corpus: str,
        features: Mapping[str, Embeddings],
        folder: Path,
    ) -> Summary:
        """See `validation_score`."""
        clips = self._clips(config, stores, corpus)
        values = features[PRETRAINED].values
        return validation_score(corpus, stores[corpus], values, clips, config.probe).summary()

    def tables(self, summaries: Mapping[str, Summary]) -> list[ResultTable]:
        """The score by which a sweep compares runs, and what it is of."""
        if not summaries:
            return []
        return [
            ResultTable(f"validation score {mean_score(summaries):.1%}: {describe_validation(summaries)}")
        ]

    def figures(self, summary: Summary) -> dict[str, float]:
        """The score."""
        return {"score": summary["score"]}

    def _clips(self, config: RunConfig, stores: Mapping[str, ClipStore], corpus: str) -> NDArray[np.int64]:
        return validation_sets(stores, config.probe, config.probe_corpora)[corpus][1]


def mean_score(summaries: Mapping[str, Summary]) -> float:
    """Mean validation score of the corpora, 0 to 1."""
    return fmean(summary["score"] for summary in summaries.values())


def describe_validation(summaries: Mapping[str, Summary]) -> str:
    """What a validation score is of, as "accuracy of a linear probe on 320 validation clips of esc10, 4 folds"."""
    scores = [
        f"{str(one['metric']).replace('_', ' ')} of a linear probe on {one['clips']} validation clips of {corpus}, "
        f"{one['protocol']}"
        for corpus, one in summaries.items()
    ]
    return scores[0] if len(scores) == 1 else f"mean of {'; '.join(scores)}"


@dataclass(frozen=True)
class ValidationScore:
    """The accuracy of a linear probe on the validation clips of a corpus.

    Args:
        corpus: its name.
        metric: accuracy, or mean_average_precision of clips with several labels.
        protocol: what was learned from and scored, in words.
        score: mean over the folds, 0 to 1.
        per_fold: score of each fold, the mean over the fixed values of C.
        clips: validation clips, scored or learned from.
        sources: of the clips that are scored; those of one source are alike.
    """

    corpus: str
    metric: Literal["accuracy", "mean_average_precision"]
    protocol: str
    score: float
    per_fold: tuple[float, ...]
    clips: int
    sources: int

    def summary(self) -> dict[str, Any]:
        """What validation.json holds."""
        return {**asdict(self), "per_fold": list(self.per_fold)}


def validation_score(
    corpus: str,
    store: ClipStore,
    embeddings: NDArray[np.float32],
    clips: NDArray[np.int64],
    config: ProbeConfig,
) -> ValidationScore:
    """Score a linear probe on folds of the validation clips in turn, learned from the other folds.

    Args:
        corpus: its name.
        store: its annotations; labels of other clips change nothing.
        embeddings: (all clips, D) in the store's order; those of other clips are not used.
        clips: indices of the validation clips.
        config: number of folds.

    Raises:
        UserError: clips without labels, of one class, or of too few sources to hold any out.
        Diverged: an embedding is NaN or infinite.
    """
    from threadpoolctl import threadpool_limits

    from echopair.pipeline.evaluation.linear_classifier import LinearClassifier

    task = validation_task(corpus, store, clips, config)
    features = embeddings[clips]
    check_finite(corpus, features)
    per_fold = []
    # As for the probe: the products are small, and a second thread would wait for the first.
    with threadpool_limits(1):
        for fold in task.folds:
            learn = np.setdiff1d(np.arange(len(clips)), fold)
            classifier = LinearClassifier(features[learn], task.targets[learn], task.multilabel)
            scores = [classifier.fit(c).scores(features[fold]) for c in C_VALUES]
            per_fold.append(
                float(np.mean([score_of(one, task.targets[fold], task.multilabel) for one in scores]))
            )
    sources = sources_of(store.column("group"), store.column("sound"))
    return ValidationScore(
        corpus,
        "mean_average_precision" if task.multilabel else "accuracy",
        task.protocol,
        float(np.mean(per_fold)),
        tuple(per_fold),
        len(clips),
        len(np.unique(np.array(sources)[clips[np.concatenate(task.folds)]])),
    )


def check_finite(corpus: str, embeddings: NDArray[np.float32]) -> None:
    """Raise Diverged if an embedding is NaN or infinite."""
    from echopair.pipeline.training.pretrain import Diverged

    if not np.isfinite(embeddings).all():
        raise Diverged(
            f"corpus {corpus!r}: embeddings are NaN or infinite, so the training diverged; lower "
            "pretrain.learning_rate or set pretrain.precision=float32"
        )


class ValidationTask(NamedTuple):
    """The classes of clips, and the folds that are scored in turn, as rows of `clips`."""

    clips: NDArray[np.int64]  # (N,) in the store
    strata: NDArray[np.str_]  # (N,)
    targets: NDArray[np.int8]  # (N, classes)
    multilabel: bool
    protocol: str
    folds: list[NDArray[np.int64]]


def validation_task(
    corpus: str, store: Annotations, clips: NDArray[np.int64], config: ProbeConfig
) -> ValidationTask:
    """The classes and folds of validation clips.

    Args:
        corpus: its name.
        store: its annotations.
        clips: indices of the validation clips.
        config: number of folds.

    Raises:
        UserError: clips without labels, of one class, or of too few sources to score any.
    """
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
    protocol, folds = _validation_folds(store, clips, labels, config.folds)
    # Of one class alone nothing is learned.
    sets = class_sets(labels)
    folds = [fold for fold in folds if len(np.unique(np.delete(sets, fold))) > 1]
    if not folds:
        raise UserError(
            f"corpus {corpus!r}: the {len(clips)} clips that are not tested on come from too few sources to learn "
            f"from some and score others; add recordings of other sources, correct corpora.{corpus}.group, or name "
            "other corpora in probe.validation_corpora"
        )
    multilabel = any(len(clip) > 1 for clip in labels)
    return ValidationTask(clips, rarest_labels(labels), targets, multilabel, protocol, folds)


def _validation_folds(
    store: Annotations, clips: NDArray[np.int64], labels: Sequence[tuple[str, ...]], number: int
) -> tuple[str, list[NDArray[np.int64]]]:
    """The split `validation` where it is given, else folds of whole sources; the protocol first.

    Where no source is named the official folds are taken, since those who made them kept sources together.
    """
    fold_of, splits, groups, sounds = (
        np.array(store.column(name), dtype=object)[clips] for name in ("fold", "split", "group", "sound")
    )
    set_aside = np.flatnonzero(splits == "validation")
    if 0 < len(set_aside) < len(clips):
        return "the given split", [set_aside]
    known = official_folds(fold_of.tolist())
    if len(known) > 1 and not any(groups):
        return f"{len(known)} official folds", [np.flatnonzero(fold_of == fold) for fold in known]
    folds = SourceFolds(labels, sources_of(groups.tolist(), sounds.tolist()), FOLDS_SEED).of(
        np.arange(len(clips)), number
    )
    return f"{len(folds)} folds by class and source", folds
