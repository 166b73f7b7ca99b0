"""How often the 95 % interval of an accuracy holds the true one: `python -m tests.benchmarks.interval_coverage`.

Sources differ: each has an accuracy of its own, drawn from a beta distribution around the true one.
"""

import numpy as np

from echopair.pipeline.evaluation.bootstrap import accuracy_interval

TRIALS = 1000
CLIPS = {"10 clips a source": (10, 10), "1 to 40 clips a source": (1, 40)}


def coverage(folds: int, sources: int, accuracy: float, alike: float, clips: tuple[int, int]) -> float:
    """Share of the trials whose interval holds the true accuracy.

    Args:
        folds: each tested once.
        sources: of each fold.
        accuracy: the true one.
        alike: correlation of the clips of a source, above 0.
        clips: fewest and most clips of a source.
    """
    generator = np.random.default_rng(0)
    pairs = 1 / alike - 1
    held = 0
    for _ in range(TRIALS):
        of_source = generator.beta(accuracy * pairs, (1 - accuracy) * pairs, folds * sources)
        numbers = generator.integers(clips[0], clips[1], folds * sources, endpoint=True)
        source = np.repeat(np.arange(folds * sources), numbers)
        correct = generator.random(len(source)) < of_source[source]
        interval = accuracy_interval(correct, source // sources, source)
        held += interval is not None and interval[0] <= accuracy <= interval[1]
    return held / TRIALS


def main() -> None:
    """Print a table: a row for each number of folds and of sources a fold."""
    settings = [
        (accuracy, alike, name) for accuracy in (0.5, 0.8, 0.95) for alike in (0.05, 0.3) for name in CLIPS
    ]
    print("folds  sources a fold  lowest  mean coverage of settings of accuracy, likeness and clips")
    for folds in (1, 2, 5, 10):
        for sources in (1, 2, 3, 5):
            if folds * sources >= 3:
                held = [
                    coverage(folds, sources, accuracy, alike, CLIPS[name])
                    for accuracy, alike, name in settings
                ]
                worst = settings[int(np.argmin(held))]
                print(
                    f"{folds:5}  {sources:14}  {min(held):.3f}   {np.mean(held):.3f}  (lowest at {worst})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
