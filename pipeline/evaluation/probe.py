"""Stage 4: embeddings + labels -> accuracy, confusion, baselines beside it."""

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from echopair.pipeline.cores import available_cores
from echopair.pipeline.embed import Embeddings
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.bootstrap import (
    accuracy_interval,
    average_precision,
    average_precision_interval,
)
from echopair.pipeline.evaluation.folds import Fold, make_folds
from echopair.pipeline.evaluation.linear_classifier import fit_fold
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.store import ClipStore
from echopair.pipeline.workers import end_with

PROBE_VERSION = 1
PROBE_FILE = "probe.json"
PER_CLASS_FILE = "per_class.csv"
CONFUSION_FILE = "confusion_matrix.csv"
CHANCE = "chance"
PRETRAINED = "pretrained"


class ProbeConfig(BaseModel, frozen=True, extra="forbid", coerce_numbers_to_str=True):
    """How the linear probe is evaluated. Its regularisation is chosen within the training folds."""

    corpora: tuple[str, ...] = Field(
        (), description="names of the corpora to probe; () is all that have labels"
    )
    test_folds: tuple[str, ...] = Field((), description="official folds to test on; () is cross-validation")
    held_out: bool = Field(
        False,
        description="test on one part alone, so that the rest can choose hyper-parameters, as a sweep does: "
        "test_folds if given, else the split 'test', else the last official fold, else a fifth of the sources "
        "(1/folds)",
    )
    validation_corpora: tuple[str, ...] = Field(
        (), description="corpora whose clips give the validation score of a sweep; () is the probed ones"
    )
    folds: int = Field(5, ge=2, description="folds by class and source, where the corpus has none")
    strengths: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        min_length=1,
        description="inverse regularisation strengths C to choose from",
    )
    bootstrap_samples: int = Field(1000, ge=100, description="resamples for the 95 % interval")


def check_labels(corpus: str, labels: Sequence[tuple[str, ...]], names: Sequence[str]) -> None:
    """Refuse, before any long work, clips that no probe can learn from.

    Raises:
        UserError: a clip without label, one class only, or a class with one clip.
    """
    unlabelled = [name for name, clip in zip(names, labels, strict=True) if not clip]
    if unlabelled:
        raise UserError(
            f"corpus {corpus!r}: {len(unlabelled)} of {len(names)} recordings have no label, first {unlabelled[0]}, "
            f"and a probe needs labels; label them, name in probe.corpora the corpora that have labels, or set "
            f"corpora.{corpus}.labels=none for a folder that has none"
        )
    counts = Counter(label for clip in labels for label in clip)
    if len(counts) < 2:
        raise UserError(
            f"corpus {corpus!r}: every recording is labelled {next(iter(counts))!r}, and a probe tells classes "
            f"apart; add another class, or take {corpus} out of probe.corpora"
        )
    for name, clip in zip(names, labels, strict=True):
        for label in clip:
            if counts[label] < 2:
                raise UserError(
                    f"corpus {corpus!r}: class {label!r} has one clip, {name}, and a probe needs one to learn from and "
                    "one to test on; add another or remove the class"
                )


def label_targets(labels: Sequence[tuple[str, ...]]) -> tuple[list[str], NDArray[np.int8]]:
    """The classes in alphabetical order, and (clips, classes) of 0 and 1."""
    classes = sorted({label for clip in labels for label in clip})
    position = {name: number for number, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=np.int8)
    for row, clip in enumerate(labels):
        targets[row, [position[label] for label in clip]] = 1
    return classes, targets


def probe(
    corpus: str,
    store: ClipStore,
    features: Mapping[str, Embeddings],
    config: ProbeConfig,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Logistic regression on frozen features, tested on clips it never saw.

    Scaling and regularisation come from the training clips of each fold alone; each test fold is read once.

    Args:
        corpus: its name.
        store: its labels, folds, splits and groups.
        features: by name, each (clips, D) in the store's order; `pretrained` is the one that pictures show.
        config: folds and strengths.
        seed: of the folds, where the corpus has none, and of the bootstrap.
        folder: existing folder; gets probe.json, per_class.csv, confusion_matrix.csv and two pictures.

    Returns:
        What probe.json holds: `metric`, `protocol`, `classes`, and for each feature, chance first, its `score`,
        `interval`, `macro_accuracy`, `per_fold` and the `strengths` that were chosen.

    Raises:
        UserError: labels or folds that no probe can use.
    """
    labels = store.labels()
    check_labels(corpus, labels, [path or "" for path in store.column("path")])
    classes, targets = label_targets(labels)
    several = any(len(clip) > 1 for clip in labels)
    groups = store.column("group")
    protocol, folds = make_folds(
        corpus,
        labels,
        store.column("fold"),
        store.column("split"),
        groups,
        test_folds=config.test_folds,
        held_out=config.held_out,
        number=config.folds,
        seed=seed,
    )
    sources = np.unique([group or f"clip {n}" for n, group in enumerate(groups)], return_inverse=True)[1]

    results = {CHANCE: _chance(targets, folds, several)}
    tested = np.concatenate([fold.test for fold in folds])
    fold_numbers = np.concatenate([np.full(len(fold.test), n) for n, fold in enumerate(folds)])
    scores_of: dict[str, NDArray[np.float64]] = {}
    tasks = [(name, fold) for name in features for fold in folds]
    jobs = (
        delayed(fit_fold)(features[name].values, targets, fold, config.strengths, several)
        for name, fold in tasks
    )
    fits = []
    fit_all = Parallel(
        n_jobs=min(available_cores(), len(tasks)),
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
                scores_of[name], targets[tested], fold_numbers, sources[tested], several, config, seed
            ),
            "strengths": [fit.strength for fit in of_name],
        }
    main = PRETRAINED if PRETRAINED in features else next(iter(features))
    summary: dict[str, Any] = {
        "corpus": corpus,
        "metric": "mean_average_precision" if several else "accuracy",
        "protocol": protocol,
        "clips": len(labels),
        "clips_tested": len(tested),
        "classes": classes,
        "features": results,
    }
    _write(folder, summary, main, scores_of[main], targets[tested], several)
    return summary


def _evaluate(
    scores: NDArray[np.float64],
    targets: NDArray[np.int8],
    folds: NDArray[np.int64],
    sources: NDArray[np.int64],
    several: bool,
    config: ProbeConfig,
    seed: int,
) -> dict[str, Any]:
    if several:
        mean, interval = average_precision_interval(scores, targets, sources, config.bootstrap_samples, seed)
        return {"score": mean, "interval": interval, "macro_accuracy": None, "per_fold": [mean]}
    predicted, true = scores.argmax(1), targets.argmax(1)
    correct = predicted == true
    per_fold = [float(correct[folds == fold].mean()) for fold in np.unique(folds)]
    recall = [float(correct[true == label].mean()) for label in np.unique(true)]
    return {
        "score": float(np.mean(per_fold)),
        "interval": accuracy_interval(correct, folds, sources, config.bootstrap_samples, seed),
        "macro_accuracy": float(np.mean(recall)),
        "per_fold": per_fold,
    }


def _chance(targets: NDArray[np.int8], folds: Sequence[Fold], several: bool) -> dict[str, Any]:
    """What is reached without listening: always the commonest class of the training clips, or the classes' shares."""
    if several:
        tested = np.concatenate([fold.test for fold in folds])
        score = float(targets[tested].mean(0).mean())
        return {
            "score": score,
            "interval": None,
            "macro_accuracy": None,
            "per_fold": [score],
            "strengths": None,
        }
    per_fold = [float(targets[fold.test, targets[fold.train].sum(0).argmax()].mean()) for fold in folds]
    return {
        "score": float(np.mean(per_fold)),
        "interval": None,
        "macro_accuracy": 1 / targets.shape[1],
        "per_fold": per_fold,
        "strengths": None,
    }


def _write(
    folder: Path,
    summary: dict[str, Any],
    main: str,
    scores: NDArray[np.float64],
    targets: NDArray[np.int8],
    several: bool,
) -> None:
    from echopair.pipeline.pictures import accuracy_bars_picture, confusion_matrix_picture

    classes: list[str] = summary["classes"]
    (folder / PROBE_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    predicted, true = scores.argmax(1), targets.argmax(1)
    if several:
        header = ["class", "clips", "average_precision"]
        precision = average_precision(scores, targets)
        rows = [[name, int(targets[:, n].sum()), float(precision[n])] for n, name in enumerate(classes)]
    else:
        header = ["class", "clips", "recall", "precision", "most_often_taken_for"]
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(confusion, (true, predicted), 1)
        rows = [_class_row(confusion, n, classes) for n in range(len(classes))]
        with (folder / CONFUSION_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["true \\ predicted", *classes])
            writer.writerows([name, *confusion[n].tolist()] for n, name in enumerate(classes))
        title = f"{summary['corpus']}: {main}, {summary['features'][main]['score']:.1%} of {len(true)} clips"
        confusion_matrix_picture(confusion, classes, folder / "confusion_matrix.png", title)
    with (folder / PER_CLASS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    results = summary["features"]
    accuracy_bars_picture(
        list(results),
        [result["score"] for result in results.values()],
        [result["interval"] for result in results.values()],
        folder / "accuracy.png",
        title=f"{summary['corpus']}: linear probe",
        unit=str(summary["metric"]).replace("_", " "),
    )


def _class_row(confusion: NDArray[np.int64], n: int, classes: Sequence[str]) -> list[object]:
    mistakes = confusion[n].copy()
    mistakes[n] = 0
    clips, taken = int(confusion[n].sum()), int(confusion[:, n].sum())
    return [
        classes[n],
        clips,
        float(confusion[n, n] / clips) if clips else float("nan"),
        float(confusion[n, n] / taken) if taken else float("nan"),
        classes[int(mistakes.argmax())] if mistakes.any() else "",
    ]
