"""The suite `noisy_labels`: logistic regression that learns from labels some of which are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.evaluate.draws import mean_over_draws, shuffled_sources, sources_of_classes
from echopair.pipeline.evaluate.fits import correct_after, fit_each
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.suites.linear import chance_of
from echopair.pipeline.evaluate.task import Metric
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.evaluation.folds import Fold

MEAN, CLEAN = "mean", "clean"
GAP = ""
RANDOM, PAIR = "random", "pair"
KINDS = {RANDOM: "random class", PAIR: "next class"}


class NoisyLabelsConfig(SuiteConfig):
    """How many labels are wrong, how often they are drawn, and what C is chosen from."""

    percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(
        (20, 40, 60), min_length=1, description="sources of each class with a wrong label, in %"
    )
    draws: int = Field(3, ge=1, le=1000, description="how often the wrong labels are drawn")
    C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        ProbeConfig().C, min_length=1, description="inverse regularisation strengths to choose from"
    )


class Noise(NamedTuple):
    """A kind and an amount of wrong labels.

    Args:
        key: of its metric.
        text: for people.
        kind: RANDOM or PAIR.
        percent: of the sources of each class.
    """

    key: str
    text: str
    kind: str
    percent: float


class NoisyLabels(Suite):
    """Mean accuracy of a linear classifier over amounts of wrong training labels, and the accuracy with each."""

    name = "noisy_labels"
    question = "How much does a linear classifier suffer from wrong labels?"
    method = (
        "Logistic regression on the frozen embeddings of the training folds, where a share of the sources of each "
        "class has a wrong label: a random other class, or the next class of the alphabet for each class (symmetric "
        "and pair noise, as Patrini et al., CVPR 2017, and Han et al., NeurIPS 2018). All clips of a source get the "
        "same wrong label, since people label recordings. C is chosen within the training folds by their wrong labels; "
        "test labels are right. The first figure is the mean over the shares that leave the right label the most "
        "frequent one. Where 50 % or more get the next class it is not, and a classifier that learns well is wrong."
    )
    metrics: ClassVar = {MEAN: "mean accuracy", CLEAN: "no wrong labels"}
    config = NoisyLabelsConfig

    def lacks(self, task: Task, config: NoisyLabelsConfig) -> str:
        """Clips with one label each, and an amount of noise that the mean is of."""
        if task.multilabel:
            return "clips with one label each"
        if not any(is_learnable(one, task) for one in noises_of(task, config)[0]):
            return (
                "more sources of each class, or another share of wrong labels (noisy_labels.percent): of those that "
                "change a label none leaves the right one the most frequent"
            )
        return ""

    def evaluate(self, task: Task, subject: Subject, config: NoisyLabelsConfig) -> Result:
        """See `Suite`."""
        noises, undefined = noises_of(task, config)
        label, folds = task.label, task.folds
        drawn = [
            [wrong_labels(task, fold, draw * len(folds) + number) for draw in range(config.draws)]
            for number, fold in enumerate(folds)
        ]
        jobs = [(label, [label], fold, config.C) for fold in folds]
        for noise in noises:
            for fold, draws in zip(folds, drawn, strict=True):
                jobs.append((label, [given_labels(label, one, noise) for one in draws], fold, config.C))
        done = fit_each(fit_noisy, subject.embeddings, jobs, f"{self.name} {task.corpus}", "fits")
        keys = [CLEAN, *(one.key for one in noises)]
        of_key = {key: done[n * len(folds) : (n + 1) * len(folds)] for n, key in enumerate(keys)}
        # (tested clips, draws), of clean labels one draw
        correct = {
            key: np.concatenate([one.correct for one in fits]).astype(np.float64)
            for key, fits in of_key.items()
        }
        averaged = [correct[one.key] for one in noises if is_learnable(one, task)]
        metrics = {MEAN: mean_over_draws(task, np.mean(averaged, axis=0))}
        metrics |= {key: mean_over_draws(task, values) for key, values in correct.items()}
        chosen = {key: [one.c for one in fits] for key, fits in of_key.items()}
        return Result(metrics, {"C": chosen}, tuple(undefined))

    def columns(self, config: NoisyLabelsConfig) -> Mapping[str, str]:
        """The mean, and the accuracy without noise and with each."""
        return {**self.metrics, **{one.key: one.text for one in _all_noises(config)}}

    def chance(self, task: Task, config: NoisyLabelsConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return dict.fromkeys(self.columns(config), chance_of(task)["score"])

    def figure(
        self, task: Task, results: Mapping[str, Result], config: NoisyLabelsConfig, file: Path
    ) -> None:
        """Accuracy over the share of wrong labels, of one kind of noise beside the other."""
        from echopair.pipeline.evaluate.figures import curve_figure

        noises = noises_of(task, config)[0]
        keys, ticks = [], []
        for kind, text in KINDS.items():
            of_kind = sorted((one for one in noises if one.kind == kind), key=lambda one: one.percent)
            keys += [CLEAN, *(one.key for one in of_kind), GAP]
            ticks += ["0", *(f"{one.percent:g}" for one in of_kind), ""]
            ticks[-1 - (len(of_kind) + 1) // 2] += f"\n{text}"
        nothing = Metric(np.nan, (np.nan, np.nan), np.empty(0))  # leaves a gap in the curve
        curves = {
            name: [result.metrics.get(key, nothing) for key in keys[:-1]] for name, result in results.items()
        }
        chance = self.chance(task, config)[MEAN]
        curve_figure(curves, ticks[:-1], "sources with a wrong label (%)", "accuracy", file, chance)


class WrongLabels(NamedTuple):
    """A draw of what is labelled wrong; a larger share of wrong labels includes the smaller ones.

    Args:
        order: as from `shuffled_sources`: the first sources of each class are those that get a wrong label.
        wrong: by kind and class, the wrong class (sources,) of each source.
    """

    order: dict[int, list[NDArray[np.int64]]]
    wrong: dict[str, dict[int, NDArray[np.int64]]]


def wrong_labels(task: Task, fold: Fold, step: int) -> WrongLabels:
    """Draw which training sources of a fold get a wrong label, and which one.

    The clips that a source has of a class get one wrong label together.

    Source: Patrini et al., Making Deep Neural Networks Robust to Label Noise, CVPR 2017, section 5; Han et al.,
        Co-teaching, NeurIPS 2018, appendix A: pair and symmetric flipping.
    """
    generator = numpy_generator(task.seed, step, Stream.LABEL_NOISE)
    order = shuffled_sources(task, fold.train, generator)
    classes = np.array(list(order))
    following = dict(zip(classes.tolist(), np.roll(classes, -1), strict=True))
    wrong = {
        RANDOM: {
            one: generator.choice(classes[classes != one], len(sources)) for one, sources in order.items()
        },
        PAIR: {one: np.full(len(sources), following[one]) for one, sources in order.items()},
    }
    return WrongLabels(order, wrong)


def given_labels(label: NDArray[np.int64], drawn: WrongLabels, noise: Noise) -> NDArray[np.int64]:
    """(N,) the class that each clip is given, of its true class (N,)."""
    given = label.copy()
    for one, sources in drawn.order.items():
        for clips, other in zip(
            sources[: _share(len(sources), noise.percent)], drawn.wrong[noise.kind][one], strict=False
        ):
            given[clips] = other
    return given


class NoisyFit(NamedTuple):
    """The C that wrong labels chose, and whether each test clip is classified correctly, (test clips, draws)."""

    c: float
    correct: NDArray[np.bool_]


def fit_noisy(
    embeddings: NDArray[np.float32],
    label: NDArray[np.int64],
    given: Sequence[NDArray[np.int64]],
    fold: Fold,
    c_values: Sequence[float],
) -> NoisyFit:
    """Learn from the labels that the training clips of a fold are given, and test on the true ones.

    Args:
        embeddings: (N, D) of all clips.
        label: (N,) number of the true class.
        given: for each draw, the number of the class (N,) that each clip is given; C is chosen by the first one.
        fold: its training clips, and pairs of them to choose C on.
        c_values: to choose from.
    """
    from threadpoolctl import threadpool_limits

    from echopair.pipeline.evaluation.linear_classifier import choose_c

    targets = np.eye(int(label.max()) + 1, dtype=np.int8)[given[0]]
    # From one class nothing is learned.
    pairs = [pair for pair in fold.validation if len(np.unique(given[0][pair[0]])) > 1]
    with threadpool_limits(1):
        c = choose_c(embeddings, targets, pairs, c_values, False)
    learned = [(fold.train, one[fold.train]) for one in given]
    return NoisyFit(c, correct_after(embeddings, label, learned, fold.test, c))


def noises_of(task: Task, config: NoisyLabelsConfig) -> tuple[list[Noise], list[str]]:
    """The noises that change a label in every fold, and a sentence for each of the others."""
    most = min(max(sources_of_classes(task, fold.train)) for fold in task.folds)
    noises, undefined = [], []
    for one in _all_noises(config):
        if _share(most, one.percent):
            noises.append(one)
        else:
            undefined.append(f"{one.text}: the largest class has {most} training sources, too few for it")
    return noises, undefined


def is_learnable(noise: Noise, task: Task) -> bool:
    """Whether the right label is the most frequent one of each class, so that who learns better is right more often."""
    classes = min(len(np.unique(task.label[fold.train])) for fold in task.folds)
    limit = 50.0 if noise.kind == PAIR else 100 * (classes - 1) / classes
    return noise.percent < limit


def _all_noises(config: NoisyLabelsConfig) -> list[Noise]:
    return [
        Noise(f"{kind}_{percent:g}", f"{percent:g} %, {text}", kind, percent)
        for kind, text in KINDS.items()
        for percent in config.percent
    ]


def _share(sources: int, percent: float) -> int:
    """How many of the sources of a class get a wrong label."""
    return int(sources * percent / 100 + 0.5)
