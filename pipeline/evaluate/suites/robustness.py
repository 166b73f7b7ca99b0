"""The suite `robustness`: the linear classifier on test clips that were corrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.embed import MEL_STATISTICS
from echopair.pipeline.evaluate.corruptions import CORRUPTIONS, SEVERITIES, Sound
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, percent
from echopair.pipeline.evaluate.suites.linear import LinearConfig, fit_folds
from echopair.pipeline.evaluate.task import Metric, mean_of_defined
from echopair.pipeline.evaluation.base import ResultTable
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.augment.waveform.augmentation import Waveform
    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.evaluation.linear_classifier import LinearClassifier
    from echopair.pipeline.store import ClipStore

BACKGROUND_CLIPS = 4
CLEAN = "clean"
MEAN, RELATIVE = "mean_corruption_error", "relative_corruption_error"
# Errors of means of right answers that are equal but for rounding.
EQUAL = 1e-9


class RobustnessConfig(LinearConfig):
    """How much sound is corrupted: every clip is embedded 61 times."""

    clips: int = Field(60, ge=1, description="test clips that are corrupted at most, as many of each class")
    clip_seconds: float = Field(10.0, gt=0, le=24, description="of a longer clip only its middle is used")


class Robustness(Suite):
    """Accuracy under corruptions, and the errors beside those of mel statistics."""

    name = "robustness"
    question = "Does a classifier still work when recordings are noisy, muffled, compressed or cut?"
    method = (
        "The linear classifier of each fold, fitted on clean training clips, is tested on a draw of the fold's test "
        f"clips with {len(CORRUPTIONS)} corruptions at {SEVERITIES} severities. Mean corruption error, and the "
        "relative one of errors above those of clean clips, are ratios to mel statistics; less is better. After "
        "Hendrycks and Dietterich (ICLR 2019)."
    )
    metrics: ClassVar = {
        "corrupted": "accuracy, corrupted",
        CLEAN: "accuracy, clean",
        MEAN: "mean corruption error",
        RELATIVE: "relative corruption error",
    }
    lower_is_better = frozenset({MEAN, RELATIVE})
    config = RobustnessConfig
    libraries = (*Suite.libraries, "audiomentations", "soundfile", "soxr")

    def lacks(self, task: Task, config: RobustnessConfig) -> str:
        """See `Suite`; a background is of other sources, and of sound that no classifier of the fold learned from."""
        if task.multilabel:
            return "clips with one label each"
        alone = any(len(np.unique(task.sources[fold.test])) < 2 for fold in task.folds)
        return "test clips of two sources in each fold" if alone else ""

    def evaluate(self, task: Task, subject: Subject, config: RobustnessConfig) -> Result:
        """See `Suite`."""
        fits = fit_folds(task, subject.embeddings, config.C, f"{self.name} {task.corpus}, folds")

        @cache
        def classifier(fold: int) -> LinearClassifier:
            from threadpoolctl import threadpool_limits

            from echopair.pipeline.evaluation.linear_classifier import LinearClassifier

            train = task.folds[fold].train
            with threadpool_limits(1):
                return LinearClassifier(subject.embeddings[train], task.targets[train], False).fit(
                    fits[fold].c
                )

        drawn = draw_clips(task, config.clips)
        clips, folds = task.tested[drawn], task.tested_fold[drawn]
        right = np.empty((len(drawn), 1 + len(CORRUPTIONS), SEVERITIES), bool)  # the first are clean
        with progress_bar(
            f"{self.name} {task.corpus}, {subject.encoder.name}", len(drawn), "clips"
        ) as advance:
            for row, (clip, fold) in enumerate(zip(clips.tolist(), folds.tolist(), strict=True)):
                sound = sound_of(task, subject.store, clip, fold, config.clip_seconds)

                def told(waveforms: list[Waveform], fold: int = fold, clip: int = clip) -> NDArray[np.bool_]:
                    scores = classifier(fold).scores(subject.encoder.embed(waveforms))
                    return np.asarray(scores.argmax(1) == task.label[clip])

                right[row, 0] = told([sound.waveform])
                for number, corruption in enumerate(CORRUPTIONS):
                    versions = corruption.versions(sound, seed_of(task, clip, number))
                    right[row, 1 + number] = told(versions)
                advance()
        return Result(
            {
                "corrupted": _accuracy(task, clips, right[:, 1:]),
                CLEAN: _accuracy(task, clips, right[:, :1, :1]),
                **{one.key: _accuracy(task, clips, right[:, [1 + n]]) for n, one in enumerate(CORRUPTIONS)},
            },
            {
                "C": [fit.c for fit in fits],
                "clips": len(clips),
                "accuracy": {one.key: right[:, 1 + n].mean(0).tolist() for n, one in enumerate(CORRUPTIONS)},
            },
        )

    def beside(self, task: Task, results: Mapping[str, Result]) -> Mapping[str, Result]:
        """Adds the mean corruption errors, which need those of mel statistics."""
        base = results[MEL_STATISTICS]
        return {
            name: _with_corruption_errors(one, base, name == MEL_STATISTICS) for name, one in results.items()
        }

    def chance(self, task: Task, config: RobustnessConfig) -> dict[str, float]:
        """Of always guessing the one class that most of the drawn clips are of."""
        labels = task.label[task.tested[draw_clips(task, config.clips)]]
        level = float(np.bincount(labels).max() / len(labels))
        return {"corrupted": level, CLEAN: level}

    def tables(
        self, task: Task, results: Mapping[str, Result], config: RobustnessConfig
    ) -> list[ResultTable]:
        """See `Suite`; and a row for each corruption."""
        rows = [
            [name, parameter, *(percent(one.metrics[key].value) for one in results.values())]
            for key, name, parameter in [
                (CLEAN, CLEAN, ""),
                *(
                    (one.key, one.name, f"{one.parameter}: {', '.join(f'{n:.3g}' for n in one.severities)}")
                    for one in CORRUPTIONS
                ),
            ]
        ]
        clips = next(iter(results.values())).details["clips"]
        by_corruption = ResultTable(
            f"{task.corpus}: accuracy by corruption on {clips} test clips, mean of {SEVERITIES} severities",
            ["corruption", "severities", *results],
            rows,
        )
        return [*super().tables(task, results, config), by_corruption]

    def title(self, task: Task) -> str:
        """See `Suite`."""
        return f"{self.name}, {len(CORRUPTIONS)} corruptions at {SEVERITIES} severities, {task.protocol}"

    def figure(self, task: Task, results: Mapping[str, Result], config: RobustnessConfig, file: Path) -> None:
        """A panel for each corruption: accuracy by severity."""
        from echopair.pipeline.evaluate.figures import curve_grid_figure

        curve_grid_figure(
            {
                one.name: {
                    name: [result.metrics[CLEAN].value, *result.details["accuracy"][one.key]]
                    for name, result in results.items()
                }
                for one in CORRUPTIONS
            },
            {one.name: [CLEAN, *(f"{n:.2g}" for n in one.severities)] for one in CORRUPTIONS},
            {one.name: one.parameter for one in CORRUPTIONS},
            "accuracy",
            file,
            self.chance(task, config)[CLEAN],
        )


def draw_clips(task: Task, most: int) -> NDArray[np.int64]:
    """Positions in `task.tested`, sorted: a draw with as many clips of each class as there are, one more of some."""
    order = numpy_generator(task.seed, 0, Stream.CORRUPTION).permutation(len(task.tested))
    label = task.label[task.tested[order]]
    turn = np.empty(len(order), np.int64)  # of a clip among those of its class
    for one in np.unique(label):
        turn[label == one] = np.arange((label == one).sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:most]])


def seed_of(task: Task, clip: int, corruption: int) -> int:
    """Of the draws of a corruption of a clip; the same for every encoder and severity."""
    generator = numpy_generator(task.seed, 1 + clip * len(CORRUPTIONS) + corruption, Stream.CORRUPTION)
    return int(generator.integers(2**32))


def sound_of(task: Task, store: ClipStore, clip: int, fold: int, seconds: float) -> Sound:
    """A clip, its middle if it is longer, with a background of other sources among the fold's test clips.

    Clips of its training folds would be recognised by a classifier that has learned them.
    """
    most = int(seconds * store.sample_rate_hz)
    samples = min(int(store.samples[clip]), most)
    waveform = store.read(clip, (int(store.samples[clip]) - samples) // 2, samples)
    others = task.folds[fold].test
    others = others[task.sources[others] != task.sources[clip]]
    # Drawn by shares of the clips, so that it is the same at another rate.
    generator = numpy_generator(task.seed, 1 + (1 + clip) * len(CORRUPTIONS), Stream.CORRUPTION)
    mixed = np.zeros(samples, np.float32)
    for other in generator.permutation(others)[:BACKGROUND_CLIPS]:
        start = int(generator.random() * max(1, int(store.samples[other]) - samples))
        part = store.read(int(other), start, samples)
        size = np.linalg.norm(part)
        if size > 0:
            mixed += part / size
    return Sound(waveform, mixed, store.sample_rate_hz)


def corruption_error(result: Result, base: Result, relative: bool) -> NDArray[np.float64]:
    """(corruptions, 1 + R): errors of each corruption in shares of the baseline's, and the same resampled.

    NaN where the baseline has no errors, or with `relative`, no more of them than on clean clips.

    Args:
        result: of an encoder.
        base: of the baseline.
        relative: whether the errors of clean clips are subtracted from both.

    Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
        Perturbations, ICLR 2019: CE and relative CE.
    """
    of, beside = (_errors(one, relative) for one in (result, base))
    defined = beside > EQUAL
    return np.where(defined, of / np.where(defined, beside, 1), np.nan)


def _errors(result: Result, relative: bool) -> NDArray[np.float64]:
    accuracy = np.stack([_with_resamples(result.metrics[one.key]) for one in CORRUPTIONS])
    return (_with_resamples(result.metrics[CLEAN]) if relative else 1) - accuracy


def _with_resamples(metric: Metric) -> NDArray[np.float64]:
    return np.concatenate([[metric.value], metric.resamples])


def _with_corruption_errors(result: Result, base: Result, is_base: bool) -> Result:
    metrics, undefined = dict(result.metrics), list(result.undefined)
    for key, relative in ((MEAN, False), (RELATIVE, True)):
        ratios = corruption_error(result, base, relative)
        lacking = [one.name for one, row in zip(CORRUPTIONS, ratios, strict=True) if np.isnan(row[0])]
        if lacking:
            undefined.append(
                f"{Robustness.metrics[key]} of {', '.join(lacking)}: mel statistics make no "
                f"{'more errors than on clean clips' if relative else 'errors'}, so "
                f"{'the mean is of the others' if len(lacking) < len(CORRUPTIONS) else 'it has no value'}"
            )
        if len(lacking) < len(CORRUPTIONS):
            metrics[key] = _ratio_metric(mean_of_defined(ratios), None if is_base else base)
    return dataclasses.replace(result, metrics=metrics, undefined=tuple(undefined))


def _ratio_metric(means: NDArray[np.float64], base: Result | None) -> Metric:
    """With percentiles as interval, since ratios are skewed; the baseline, always 1, has none."""
    value, resamples = float(means[0]), means[1:]
    defined = resamples[np.isfinite(resamples)]
    if base is None or base.metrics["corrupted"].interval is None:
        return Metric(value, None, resamples)
    low, high = np.percentile(defined, [2.5, 97.5]).tolist()
    return Metric(value, (low, high), resamples)


def _accuracy(task: Task, clips: NDArray[np.int64], right: NDArray[np.bool_]) -> Metric:
    """Of versions of clips, (clips, corruptions, severities)."""
    versions = right[0].size
    return task.mean(np.repeat(clips, versions), right.reshape(-1).astype(np.float64))
