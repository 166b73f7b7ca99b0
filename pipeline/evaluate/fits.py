"""Many fits of linear classifiers, on all cores and with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from echopair.lazy import np
from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.evaluation.probe import WORKERS_PAY_FROM_VALUES
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fitted = TypeVar("Fitted")


def fit_each(
    fit: Callable[..., Fitted],
    embeddings: NDArray[np.float32],
    arguments: Sequence[tuple[Any, ...]],
    title: str,
    unit: str,
) -> list[Fitted]:
    """What `fit` returns for the embeddings and each tuple of further arguments, in their order."""
    from joblib import Parallel, delayed

    processes = min(available_cores(), len(arguments)) if embeddings.size >= WORKERS_PAY_FROM_VALUES else 1
    run = Parallel(processes, return_as="generator", initializer=end_with, initargs=(os.getpid(),))
    fitted = []
    with progress_bar(title, len(arguments), unit) as advance:
        for one in run(delayed(fit)(embeddings, *more) for more in arguments):
            fitted.append(one)
            advance()
    return fitted


def correct_after(
    embeddings: NDArray[np.float32],
    label: NDArray[np.int64],
    learned: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    test: NDArray[np.int64],
    c: float,
) -> NDArray[np.bool_]:
    """(test clips, trainings): whether each test clip is classified correctly after each of several trainings.

    Args:
        embeddings: (N, D) of all clips.
        label: (N,) number of the true class.
        learned: for each training, indices (L,) of its clips and the number of the class (L,) that each is given.
        test: indices of the test clips.
        c: inverse regularisation strength.
    """
    from threadpoolctl import threadpool_limits

    from echopair.pipeline.evaluation.linear_classifier import LinearClassifier

    correct = []
    with threadpool_limits(1):  # the products are small, see `fit_fold`
        for clips, given in learned:
            classes, targets = np.unique(given, return_inverse=True)
            one_hot = np.eye(len(classes), dtype=np.int8)[targets]
            scores = LinearClassifier(embeddings[clips], one_hot, False).fit(c).scores(embeddings[test])
            correct.append(classes[scores.argmax(1)] == label[test])
    return np.stack(correct, axis=1)
