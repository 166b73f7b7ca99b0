"""The suite `linear`: logistic regression on frozen embeddings, as the probe of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from echopair.lazy import np
from echopair.pipeline.evaluate.fits import fit_each
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.task import Metric, Task
from echopair.pipeline.evaluation.bootstrap import mean_average_precision
from echopair.pipeline.evaluation.probe import ProbeConfig, chance_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluation.linear_classifier import FoldFit


class LinearConfig(SuiteConfig):
    """C is chosen in the training folds, from the values of the probe of a run."""

    C: tuple[float, ...] = ProbeConfig().C


class Linear(Suite):
    """Accuracy, or mean average precision, of a linear classifier."""

    name = "linear"
    question = "Can a linear classifier tell the classes apart?"
    method = (
        "Logistic regression on the frozen embeddings of the training folds; C is chosen within them, and each test "
        "fold is scored once."
    )
    metrics: ClassVar = {"score": "accuracy", "macro_accuracy": "macro accuracy"}
    config = LinearConfig

    def evaluate(self, task: Task, subject: Subject, config: LinearConfig) -> Result:
        """See `Suite`."""
        fits = fit_folds(task, subject.embeddings, config.C, f"{self.name} {task.corpus}")
        scores = np.concatenate([fit.scores for fit in fits])
        return Result(score_metrics(task, scores), {"C": [fit.c for fit in fits]})

    def chance(self, task: Task, config: LinearConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return chance_of(task)


def fit_folds(
    task: Task, embeddings: NDArray[np.float32], c_values: Sequence[float], title: str
) -> list[FoldFit]:
    """Logistic regressions on all cores, one for each fold; see `fit_fold`."""
    from echopair.pipeline.evaluation.linear_classifier import fit_fold

    jobs = [(task.targets, fold, c_values, task.multilabel) for fold in task.folds]
    return fit_each(fit_fold, embeddings, jobs, title, "folds")


def score_metrics(task: Task, scores: NDArray[np.float64]) -> dict[str, Metric]:
    """The scores of classifiers as metrics: `score`, and of clips with one label `macro_accuracy`.

    Args:
        task: its tested clips.
        scores: (tested clips, classes), fold after fold; higher is likelier.
    """
    if task.multilabel:
        return {"score": average_precision_metric(task, scores)}
    true = task.label[task.tested]
    correct = (scores.argmax(1) == true).astype(np.float64)
    return {
        "score": task.mean(task.tested, correct, task.tested_fold),
        "macro_accuracy": task.mean(task.tested, correct, true),
    }


def average_precision_metric(task: Task, scores: NDArray[np.float64]) -> Metric:
    """Mean over the classes that are tested of the average precision; of all folds together.

    Args:
        task: its tested clips.
        scores: (tested clips, classes), fold after fold.
    """
    weights = task.source_counts[:, task.sources[task.tested]]  # (R, tested clips)
    every = np.concatenate([np.ones((1, weights.shape[1]), np.float32), weights])
    means = mean_average_precision(scores, task.targets[task.tested], every)
    return task.metric(float(means[0]), means[1:], task.tested)


def chance_of(task: Task) -> dict[str, float]:
    """What `score_metrics` gives without listening, see `chance_level`."""
    level: dict[str, Any] = chance_level(task.targets, task.folds, task.multilabel)
    return {"score": level["score"]} | (
        {} if task.multilabel else {"macro_accuracy": level["macro_accuracy"]}
    )
