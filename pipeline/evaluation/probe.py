"""The linear probe: embeddings + labels -> accuracy, confusion, baselines beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, model_validator

from echopair.lazy import np
from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.embed import FEATURES, PRETRAINED, Embeddings
from echopair.pipeline.errors import listed
from echopair.pipeline.evaluation.base import Evaluation, ResultTable, Summary
from echopair.pipeline.evaluation.bootstrap import (
    FEWEST_SOURCES,
    accuracy_interval,
    average_precision_interval,
)
from echopair.pipeline.evaluation.copies import check_copies, copies_in_training
from echopair.pipeline.evaluation.folds import Fold, find_test_splits, make_folds, never_learned
from echopair.pipeline.evaluation.labels import (
    Annotations,
    check_labels,
    label_targets,
    sources_of,
)
from echopair.pipeline.evaluation.probe_files import write_probe_files
from echopair.pipeline.evaluation.trained_classifier import CLASSIFIER_FILE, train_classifier
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.store import ClipStore

CHANCE = "chance"
# Starting worker processes takes seconds, and the fits of fewer values (clips times dimensions) take less.
WORKERS_PAY_FROM_VALUES = 50_000
RENAMED_KEYS = {"held_out": "test_split", "strengths": "C"}


class ProbeConfig(BaseModel, frozen=True, extra="forbid", coerce_numbers_to_str=True):
    """How the linear probe is evaluated. Its regularisation is chosen within the training folds."""

    corpora: tuple[str, ...] = Field(
        (), description="names of the corpora to probe; () is all that have labels"
    )
    test_folds: tuple[str, ...] = Field((), description="official folds to test on; () is cross-validation")
    test_split: bool = Field(
        False,
        description="test on one split alone, so that the rest can choose hyper-parameters, as a sweep does: "
        "test_folds if given, else the split 'test', else the last official fold, else a fifth of the sources "
        "(1/folds)",
    )
    validation_corpora: tuple[str, ...] = Field(
        (), description="corpora whose clips give the validation score of a sweep; () is the probed ones"
    )
    folds: int = Field(5, ge=2, description="folds by class and source, where the corpus has none")
    C: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        min_length=1,
        description="inverse regularisation strengths to choose from, as scikit-learn's C",
    )
    allow_copies: bool = Field(
        False, description="score clips whose very samples are learned from too, in another fold or split"
    )
    bootstrap_samples: int = Field(
        1000, ge=100, description="resamples for the interval of a mean average precision"
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_of_before(cls, values: Any) -> Any:
        for old, new in RENAMED_KEYS.items():
            if isinstance(values, dict) and old in values:
                raise ValueError(f"probe.{old} is now called probe.{new}: probe.{new}={values[old]}")
        return values


class LinearProbe(Evaluation):
    """The accuracy of a linear classifier on frozen embeddings, beside its baselines."""

    name = "probe"
    code_version = 6
    libraries = ("scikit-learn", "scipy")
    features = FEATURES

    def check(self, config: RunConfig, clips: Mapping[str, Annotations]) -> list[str]:
        """Try the labels and the folds; name classes that are tested and never learned."""
        notes = []
        for corpus in sorted(self.reads(config)):
            check_labels(corpus, clips[corpus])
            splits = find_test_splits(corpus, clips[corpus], config.probe, config.seed)
            if unlearned := never_learned(clips[corpus], splits):
                notes.append(
                    f"corpus {corpus!r}: no probe can be right about {listed(unlearned)}, which it does not learn from"
                )
            notes += check_copies(corpus, clips[corpus], splits, allow_equal=config.probe.allow_copies)
        return notes

    def settings(self, config: RunConfig, stores: Mapping[str, ClipStore], corpus: str) -> Any:
        """The config's slice but for the names of corpora, and the seed of folds and bootstrap."""
        return [
            config.probe.model_dump(mode="json", exclude={"corpora", "validation_corpora"}),
            config.seed,
        ]

    def evaluate(
        self,
        config: RunConfig,
        stores: Mapping[str, ClipStore],
        corpus: str,
        features: Mapping[str, Embeddings],
        folder: Path,
    ) -> Summary:
        """See `probe`."""
        return probe(corpus, stores[corpus], features, config.probe, config.seed, folder)

    def metrics(self, corpus: str, summary: Summary) -> dict[str, float]:
        """Scores under the names that tables and the MLflow UI show, as `esc10/accuracy`."""
        metrics: dict[str, float] = {f"{corpus}/test_clips_with_copies": summary["test_clips_with_copies"]}
        for name, result in summary["features"].items():
            key = str(summary["metric"]) if name == PRETRAINED else name.replace(" ", "_")
            metrics[f"{corpus}/{key}"] = result["score"]
            if name == PRETRAINED:
                if result["interval"] is not None:
                    low, high = result["interval"]
                    metrics |= {f"{corpus}/{key}_low": low, f"{corpus}/{key}_high": high}
                if result["macro_accuracy"] is not None:
                    metrics[f"{corpus}/macro_accuracy"] = result["macro_accuracy"]
        return metrics

    def tables(self, summaries: Mapping[str, Summary]) -> list[ResultTable]:
        """One for each corpus: chance first, with score, 95 % interval and macro accuracy."""
        return [probe_table(summary) for summary in summaries.values()]


def probe_table(summary: Mapping[str, Any]) -> ResultTable:
    """The features that were probed, chance first, with score, 95 % interval and macro accuracy."""
    metric = str(summary["metric"]).replace("_", " ")
    results = summary["features"]
    headings = ["features", metric, "95 % interval"]
    rows = []
    for name, result in results.items():
        interval = result["interval"]
        spread = f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else ""
        if not interval and name != CHANCE:
            spread = f"none: {FEWEST_SOURCES} sources needed"
        rows.append([name, f"{result['score']:.1%}", spread])
    if any(result["macro_accuracy"] is not None for result in results.values()):
        headings.append("macro accuracy")
        for row, result in zip(rows, results.values(), strict=True):
            macro = result["macro_accuracy"]
            row.append("" if macro is None else f"{macro:.1%}")
    title = f"{summary['corpus']}: {metric} of a linear probe, {summary['clips_tested']} clips, {summary['protocol']}"
    if copies := summary["test_clips_with_copies"]:
        title += f", {copies} with a copy among the training clips"
    return ResultTable(title, headings, rows)


def probe(
    corpus: str,
    store: ClipStore,
    features: Mapping[str, Embeddings],
    config: ProbeConfig,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Logistic regression on frozen features, tested on clips it never saw.

    Scaling and regularisation come from the training clips of each fold alone; each test fold is scored once.

    Args:
        corpus: its name.
        store: its labels, folds, splits and groups.
        features: by name, each (clips, D) in the store's order; `pretrained` is the one that pictures show.
        config: folds and C.
        seed: of the folds, where the corpus has none, and of the bootstrap.
        folder: existing folder; gets per_class.csv, confusion_matrix.csv, two figures and a classifier.

    Returns:
        What probe.json holds: `metric`, `protocol`, `classes`, and for each feature, chance first, its `score`,
        `interval`, `macro_accuracy`, `per_fold` and the `C` that were chosen.

    Raises:
        UserError: labels or folds that no probe can use.
    """
    from joblib import Parallel, delayed

    from echopair.pipeline.evaluation.linear_classifier import fit_fold

    labels = store.labels()
    check_labels(corpus, store)
    classes, targets = label_targets(labels)
    multilabel = any(len(clip) > 1 for clip in labels)
    protocol, folds = make_folds(corpus, store, config, seed)
    sources = np.unique(sources_of(store.column("group"), store.column("sound")), return_inverse=True)[1]

    results = {CHANCE: chance_level(targets, folds, multilabel)}
    tested = np.concatenate([fold.test for fold in folds])
    fold_numbers = np.concatenate([np.full(len(fold.test), n) for n, fold in enumerate(folds)])
    scores_of: dict[str, NDArray[np.float64]] = {}
    tasks = [(name, fold) for name in features for fold in folds]
    jobs = (
        delayed(fit_fold)(features[name].values, targets, fold, config.C, multilabel) for name, fold in tasks
    )
    fits = []
    values = max(one.values.size for one in features.values())
    fit_all = Parallel(
        n_jobs=min(available_cores(), len(tasks)) if values >= WORKERS_PAY_FROM_VALUES else 1,
        return_as="generator",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    with progress_bar(f"probe {corpus}", len(tasks), "fits") as advance:
        for fit in fit_all(jobs):
            fits.append(fit)
            advance()
    for name in features:
        of_name = [fit for (of, _), fit in zip(tasks, fits, strict=True) if of == name]
        scores_of[name] = np.concatenate([fit.scores for fit in of_name])  # (tested clips, classes)
        results[name] = {
            **_evaluate(
                scores_of[name], targets[tested], fold_numbers, sources[tested], multilabel, config, seed
            ),
            "C": [fit.c for fit in of_name],
        }
    main = PRETRAINED if PRETRAINED in features else next(iter(features))
    summary: dict[str, Any] = {
        "corpus": corpus,
        "metric": "mean_average_precision" if multilabel else "accuracy",
        "protocol": protocol,
        "clips": len(labels),
        "clips_tested": len(tested),
        "test_clips_with_copies": len(copies_in_training(store, folds, "sound")),
        "classes": classes,
        "features": results,
    }
    write_probe_files(folder, summary, main, scores_of[main], targets[tested], multilabel)
    train_classifier(
        corpus, classes, features[main].values, targets, folds, results[main]["C"], multilabel
    ).save(folder / CLASSIFIER_FILE)
    return summary


def _evaluate(
    scores: NDArray[np.float64],
    targets: NDArray[np.int8],
    folds: NDArray[np.int64],
    sources: NDArray[np.int64],
    multilabel: bool,
    config: ProbeConfig,
    seed: int,
) -> dict[str, Any]:
    if multilabel:
        mean, interval = average_precision_interval(scores, targets, sources, config.bootstrap_samples, seed)
        return {"score": mean, "interval": interval, "macro_accuracy": None, "per_fold": [mean]}
    predicted, true = scores.argmax(1), targets.argmax(1)
    correct = predicted == true
    per_fold = [float(correct[folds == fold].mean()) for fold in np.unique(folds)]
    recall = [float(correct[true == label].mean()) for label in np.unique(true)]
    return {
        "score": float(np.mean(per_fold)),
        "interval": accuracy_interval(correct, folds, sources),
        "macro_accuracy": float(np.mean(recall)),
        "per_fold": per_fold,
    }


def chance_level(targets: NDArray[np.int8], folds: Sequence[Fold], multilabel: bool) -> dict[str, Any]:
    """What is reached without listening: by always guessing the one class that is right most often.

    With several labels, the mean over the classes of their shares: the average precision of equal scores.
    """
    shares = np.array([targets[fold.test].mean(0) for fold in folds])  # (folds, classes)
    share = targets[np.concatenate([fold.test for fold in folds])].mean(0)  # (classes,)
    tested = share > 0
    per_fold = [float(share[tested].mean())] if multilabel else shares[:, shares.mean(0).argmax()].tolist()
    return {
        "score": float(np.mean(per_fold)),
        "interval": None,
        "macro_accuracy": None if multilabel else float(1 / tested.sum()),
        "per_fold": per_fold,
        "C": None,
    }
