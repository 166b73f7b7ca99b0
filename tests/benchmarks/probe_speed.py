"""Time and memory of a fit of the probe's classifier, and its score, on generated embeddings of 512 dimensions.

    python -m tests.benchmarks.probe_speed [--clips 100000] [--classes 200] [--multilabel]

Fits each C of the default config in turn, as a fold of the probe does, in one process with one thread, on 80 % of the
clips, and scores the rest: accuracy, or mean average precision where a clip has two labels.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.linear_classifier import LinearClassifier
from echopair.pipeline.evaluation.probe import ProbeConfig
from tests.benchmarks.measuring import Figure, in_turns

DIMENSIONS = 512
SUITE_CLIPS, SUITE_CLASSES, SUITE_C = 5000, 50, 0.01


def embeddings(clips: int, classes: int, labels: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """(clips, 512) embeddings whose principal components differ in variance, and (clips, classes) targets."""
    generator = np.random.default_rng(0)
    targets = np.zeros((clips, classes), np.int8)
    for _ in range(labels):
        targets[np.arange(clips), generator.integers(classes, size=clips)] = 1
    values = 0.18 * targets @ generator.normal(size=(classes, DIMENSIONS))
    values += generator.normal(size=values.shape)
    rotation = np.linalg.qr(generator.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    return (values * np.geomspace(1, 0.003, DIMENSIONS) @ rotation).astype(np.float32), targets


def figures(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """A fit beside scikit-learn's, for the suite."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values, targets = embeddings(SUITE_CLIPS, SUITE_CLASSES, 1)

    def ours() -> None:
        LinearClassifier(values, targets, multilabel=False).fit(SUITE_C)

    def theirs() -> None:
        scaled = StandardScaler().fit_transform(values)
        LogisticRegression(C=SUITE_C, tol=1e-6, max_iter=1000).fit(scaled, targets.argmax(1))

    with threadpool_limits(1):
        a, b = in_turns([ours, theirs], rounds)
    what = f"probe, a fit of {SUITE_CLIPS:,} clips, {SUITE_CLASSES} classes"
    yield Figure(what, "scikit-learn, L-BFGS", "ms", a.cpu, b.cpu)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--clips", type=int, default=100_000)
    arguments.add_argument("--classes", type=int, default=200)
    arguments.add_argument("--multilabel", action="store_true", help="two labels a clip")
    given = arguments.parse_args()
    values, targets = embeddings(given.clips, given.classes, 2 if given.multilabel else 1)
    learned = round(0.8 * given.clips)
    with threadpool_limits(1):
        classifier = LinearClassifier(values[:learned], targets[:learned], given.multilabel)
        for c in ProbeConfig().C:
            before = time.process_time()
            scores = classifier.fit(c).scores(values[learned:])
            seconds = time.process_time() - before
            score = score_of(scores, targets[learned:], given.multilabel)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"C={c:g}: {seconds:.1f} s of CPU time, score {score:.4f}, peak memory {peak_mb:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
