"""Logistic regression on standardised features, made quick enough to choose C in every fold."""

from collections.abc import Sequence
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.folds import Fold

MAX_ITERATIONS = 1000
# Largest component of the gradient with respect to the scaled weights: about the error of a class's logits along one
# principal component. Of 4000 test clips no more than one is classified otherwise than at a tolerance of 1e-6.
TOLERANCE = 1e-4
BLOCK_CLIPS = 4096  # of which the logits are in memory at a time
Float = TypeVar("Float", np.float32, np.float64)


class LinearClassifier:
    """L2-regularised logistic regression, multinomial or one for each of several labels.

    The objective is scikit-learn's: ``C`` times the sum of the log losses, plus half the squared norm of the weights
    but for the intercept. scikit-learn's L-BFGS is slow on embeddings, whose principal components differ in variance
    by a factor of a million. With many clips it also stops early, since its tolerance is on the gradient of the mean
    loss, where the penalty counts as the weights divided by ``C`` and the number of clips. Here L-BFGS runs on the
    weights of the principal components, scaled so that all second derivatives are about 1 at first. The tolerance
    then means the same for every number of clips, every spread of the features and every ``C``.

    Args:
        features: (clips, D) to learn from.
        targets: (clips, classes) of 0 and 1, with two values at least in one column; a column with one value gets
            that value as its score.
        multilabel: whether a clip may have several labels.

    Raises:
        ValueError: a feature is NaN or infinite.
    """

    def __init__(self, features: NDArray[np.float32], targets: NDArray[np.int8], multilabel: bool) -> None:
        self._scaler = StandardScaler().fit(features)
        scaled = np.asarray_chkfinite(self._scaler.transform(features))
        clips, dimensions = scaled.shape
        if clips < dimensions:  # the weights are in the span of the clips
            _, singular_values, components = np.linalg.svd(scaled, full_matrices=False)
            variances, self._rotation = singular_values**2 / clips, components.T  # (D, clips)
        else:
            products = np.zeros((dimensions, dimensions))
            for begin in range(0, clips, BLOCK_CLIPS):
                values = scaled[begin : begin + BLOCK_CLIPS].astype(np.float64)
                products += values.T @ values
            variances, self._rotation = np.linalg.eigh(products / clips)  # (D, D)
        # In single precision, which is twice as fast; only sums over clips are in double precision.
        self._features = np.ones((clips, len(variances) + 1), np.float32)  # the last is that of the intercept
        np.matmul(scaled, self._rotation.astype(np.float32), out=self._features[:, :-1])
        self._variances = np.append(np.maximum(variances, 0), 1)[:, None]
        self._multilabel = multilabel
        self._constant = targets[0].astype(np.float64)
        self._varied = np.flatnonzero(targets.min(0) < targets.max(0))
        self._targets = targets[:, self._varied].astype(np.float32)
        shares = self._targets.mean(0, dtype=np.float64)
        # Second derivative of the mean loss with respect to a logit, at constant probabilities.
        self._curvature = shares * (1 - shares)
        if not multilabel:
            self._curvature[:] = self._curvature.mean()
        self._weights = np.zeros((self._features.shape[1], len(self._varied)))
        self._weights[-1] = np.log(shares / (1 - shares) if multilabel else shares)

    def fit(self, c: float) -> Self:
        """Fit at an inverse regularisation strength C above 0, beginning with the weights of the last fit."""
        penalty = np.full_like(self._variances, 1 / (c * len(self._features)))
        if not self._multilabel and len(self._varied) == 2:
            penalty *= 2  # scikit-learn has one vector of weights for two classes, the difference of ours
        penalty[-1] = 0
        # (D + 1, classes), for losses divided by their curvature, so that rare and common labels converge alike.
        scale = 1 / np.sqrt(self._variances + penalty / self._curvature)

        def objective(scaled_weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = scaled_weights.reshape(scale.shape) * scale
            losses, gradient = self._losses(weights)
            losses += (penalty * weights**2).sum(0) / 2
            gradient += penalty * weights
            return float((losses / self._curvature).sum()), (gradient * scale / self._curvature).ravel()

        options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0}
        start = (self._weights / scale).ravel()
        fitted = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        self._weights = fitted.x.reshape(scale.shape) * scale
        return self

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(clips, classes) probabilities; 0 for a class that was not there to learn from."""
        weights = self._rotation @ self._weights[:-1]  # (D, classes)
        logits = self._scaler.transform(features) @ weights + self._weights[-1]  # (clips, classes)
        scores = np.tile(self._constant, (len(features), 1))
        scores[:, self._varied] = np.exp(log_probabilities(logits, self._multilabel))
        return scores

    def head(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Weights (D, K) and intercepts (K,) on features as they are, and the targets' columns (K,) that varied."""
        weights = (self._rotation @ self._weights[:-1]) / self._scaler.scale_[:, None]
        return weights, self._weights[-1] - self._scaler.mean_ @ weights, self._varied

    def _losses(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(classes,) parts of the mean log loss, and its gradient with respect to the weights."""
        losses, gradient = np.zeros(weights.shape[1]), np.zeros_like(weights)
        single = weights.astype(np.float32)
        for begin in range(0, len(self._features), BLOCK_CLIPS):
            features = self._features[begin : begin + BLOCK_CLIPS]
            targets = self._targets[begin : begin + BLOCK_CLIPS]
            logits = features @ single
            log_p = log_probabilities(logits, self._multilabel)
            if self._multilabel:  # log(1 - p) is log(p) less the logit
                losses -= (log_p - (1 - targets) * logits).sum(0, dtype=np.float64)
            else:
                losses -= (targets * log_p).sum(0, dtype=np.float64)
            gradient += features.T @ (np.exp(log_p) - targets)
        return losses / len(self._features), gradient / len(self._features)


def log_probabilities(logits: NDArray[Float], multilabel: bool) -> NDArray[Float]:
    """(N, K) log probabilities of logits (N, K): of classes that exclude each other, or of each label by itself."""
    if multilabel:
        # Several times as fast as numpy's logaddexp.
        log_p: NDArray[Float] = np.minimum(logits, 0) - np.log(1 + np.exp(-np.abs(logits)))
        return log_p
    shifted: NDArray[Float] = logits - logits.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return shifted


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
