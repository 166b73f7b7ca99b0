"""Logistic regression on standardised features, made quick enough to choose C in every fold."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.folds import Fold

MAX_ITERATIONS = 1000
# Ten times scikit-learn's: the accuracies of a probe stay within a clip, at a third of the iterations.
TOLERANCE = 1e-3


class LinearClassifier:
    """L2-regularised logistic regression, multinomial or one for each of several labels.

    The standardised features are rotated onto the span of the training clips. An L2-regularised linear model
    has its weights in that span, so the result is the same, and with more features than clips it is quicker.

    Args:
        features: (clips, D) to learn from.
        targets: (clips, classes) of 0 and 1.
        multilabel: whether a clip may have several labels.
    """

    def __init__(self, features: NDArray[np.float32], targets: NDArray[np.int8], multilabel: bool) -> None:
        self._scaler = StandardScaler().fit(features)
        scaled = self._scaler.transform(features)
        self._rotation: NDArray[np.float32] | None = None
        if scaled.shape[0] < scaled.shape[1]:
            self._rotation = np.linalg.svd(scaled, full_matrices=False)[2].T  # (D, clips)
            scaled = scaled @ self._rotation
        self._features = scaled.astype(np.float64)
        self._targets = targets
        self._multilabel = multilabel
        self._classes = targets.shape[1]
        # Warm start: along a path of rising C each fit begins where the last one ended.
        model = LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE, warm_start=not multilabel)
        self._model = OneVsRestClassifier(model) if multilabel else model

    def fit(self, c: float) -> Self:
        """Fit at an inverse regularisation strength C above 0."""
        self._model.set_params(**{"estimator__C" if self._multilabel else "C": c})
        with warnings.catch_warnings():
            # At weak regularisation of separable clips the optimum is far away; its accuracy is long reached.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings(
                "ignore", message="Label .* is present in all training examples|.*not .* in training"
            )
            self._model.fit(self._features, self._targets if self._multilabel else self._targets.argmax(1))
        return self

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(clips, classes) probabilities; 0 for a class that was not there to learn from."""
        scaled = self._scaler.transform(features)
        if self._rotation is not None:
            scaled = scaled @ self._rotation
        probabilities = self._model.predict_proba(scaled.astype(np.float64))
        if self._multilabel:
            return np.asarray(probabilities)
        scores = np.zeros((len(features), self._classes))
        scores[:, self._model.classes_] = probabilities
        return scores


class FoldFit(NamedTuple):
    """What a fold's training clips chose, and what its test clips got."""

    c: float
    scores: NDArray[np.float64]  # (test clips, classes)


def fit_fold(
    features: NDArray[np.float32],
    targets: NDArray[np.int8],
    fold: Fold,
    c_values: Sequence[float],
    multilabel: bool,
) -> FoldFit:
    """Choose C within the training clips of a fold, fit on all of them, score its test clips."""
    # The products are small: a second thread spends its time waiting for the first (8 times slower, measured).
    with threadpool_limits(1):
        c = choose_c(features, targets, fold.validation, c_values, multilabel)
        classifier = LinearClassifier(features[fold.train], targets[fold.train], multilabel)
        return FoldFit(c, classifier.fit(c).scores(features[fold.test]))


def choose_c(
    features: NDArray[np.float32],
    targets: NDArray[np.int8],
    validation: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    c_values: Sequence[float],
    multilabel: bool,
) -> float:
    """The C with the best mean validation score; the stronger regularisation where two are equal.

    Without anything to choose on it is the middle one.

    Args:
        features: (clips, D) of all clips; only those of `validation` are used.
        targets: (clips, classes) of 0 and 1.
        validation: (learn, choose) indices within the training clips of a fold.
        c_values: to choose from.
        multilabel: whether a clip may have several labels.
    """
    ordered = sorted(c_values)
    if len(ordered) == 1 or not validation:
        return ordered[len(ordered) // 2]
    totals = np.zeros(len(ordered))
    for learn, choose in validation:
        classifier = LinearClassifier(features[learn], targets[learn], multilabel)
        for n, c in enumerate(ordered):
            scores = classifier.fit(c).scores(features[choose])
            totals[n] += score_of(scores, targets[choose], multilabel)
    return ordered[int(totals.argmax())]
