"""The suite `few_labels`: logistic regression that learns from a few labelled sources of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from echopair.lazy import np
from echopair.pipeline.evaluate.draws import by_draw, mean_over_draws, shuffled_sources, sources_of_classes
from echopair.pipeline.evaluate.fits import correct_after, fit_each
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.suites.linear import chance_of
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluate.task import Task

MEAN, PERCENT = "mean", "_percent"
Counts = tuple[tuple[int, ...], ...]  # for each fold, a number of sources of each class


class FewLabelsConfig(SuiteConfig):
    """How many sources are labelled, how often they are drawn, and C."""

    per_class: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 2, 5, 10), description="numbers of labelled sources of each class"
    )
    percent: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        (1, 10), description="labelled sources of each class in % of its training sources; one at least"
    )
    draws: int = Field(10, ge=2, le=1000, description="how often the labelled sources are drawn")
    C: float = Field(
        1.0, gt=0, description="inverse regularisation strength; fixed, as few labels leave none to choose on"
    )

    @model_validator(mode="after")
    def _some_labels(self) -> Self:
        if not self.per_class and not self.percent:
            raise ValueError("per_class and percent are both empty; name a number of labels in one of them")
        return self


class Budget(NamedTuple):
    """A number of labels.

    Args:
        key: of its metric.
        text: for people.
        counts: of the labelled sources.
    """

    key: str
    text: str
    counts: Counts


class FewLabels(Suite):
    """Mean accuracy of a linear classifier over numbers of labels, and the accuracy with each."""

    name = "few_labels"
    question = "How good is a linear classifier with few labels?"
    method = (
        "Logistic regression on the frozen embeddings of a few labelled sources of each class, drawn from the training "
        "folds several times, the same for every encoder. All clips that a drawn source has of the class are labelled, "
        "so that clips of one source, which sound alike, count as one label. C is fixed, since few labels leave none "
        "to choose it on. The first figure is the mean over the different numbers of labels: the area under the curve."
    )
    metrics: ClassVar = {MEAN: "mean accuracy"}
    config = FewLabelsConfig

    def lacks(self, task: Task, config: FewLabelsConfig) -> str:
        """Clips with one label each, and sources for one of the numbers of labels at least."""
        if task.multilabel:
            return "clips with one label each"
        if not budgets_of(task, config)[0]:
            return f"{min(config.per_class)} sources of each class to learn from (few_labels.per_class)"
        return ""

    def evaluate(self, task: Task, subject: Subject, config: FewLabelsConfig) -> Result:
        """See `Suite`."""
        budgets, undefined = budgets_of(task, config)
        different = different_counts(budgets)
        label, jobs = task.label, []
        for draw in range(config.draws):
            for number, fold in enumerate(task.folds):
                step = draw * len(task.folds) + number
                generator = numpy_generator(task.seed, step, Stream.LABELLED_SOURCES)
                order = shuffled_sources(task, fold.train, generator)
                labelled = [labelled_clips(order, counts[number]) for counts in different]
                jobs.append((label, [(clips, label[clips]) for clips in labelled], fold.test, config.C))
        done = fit_each(correct_after, subject.embeddings, jobs, f"{self.name} {task.corpus}", "draws")
        correct = by_draw(done, len(task.folds))  # (tested clips, different counts, draws)
        metrics = {MEAN: mean_over_draws(task, correct.mean(1))}
        metrics |= {
            one.key: mean_over_draws(task, correct[:, different.index(one.counts)]) for one in budgets
        }
        return Result(
            metrics, {"sources": {one.key: _total(one.counts) for one in budgets}}, tuple(undefined)
        )

    def columns(self, config: FewLabelsConfig) -> Mapping[str, str]:
        """The mean, and the accuracy with each number of labels."""
        return {**self.metrics, **{key: text for key, text, _ in _numbers(config)}}

    def chance(self, task: Task, config: FewLabelsConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return dict.fromkeys(self.columns(config), chance_of(task)["score"])

    def figure(self, task: Task, results: Mapping[str, Result], config: FewLabelsConfig, file: Path) -> None:
        """Accuracy over the number of labels."""
        from echopair.pipeline.evaluate.figures import curve_figure

        budgets = budgets_of(task, config)[0]
        points = [[one for one in budgets if one.counts == counts] for counts in different_counts(budgets)]
        curves = {
            name: [result.metrics[of_point[0].key] for of_point in points] for name, result in results.items()
        }
        ticks = [
            "\n".join([f"{_total(of_point[0].counts):.0f}", *(one.text for one in of_point)])
            for of_point in points
        ]
        chance = self.chance(task, config)[MEAN]
        curve_figure(curves, ticks, "labelled sources in all", "accuracy", file, chance)


def budgets_of(task: Task, config: FewLabelsConfig) -> tuple[list[Budget], list[str]]:
    """The numbers of labels that every fold can give, and a sentence for each of the others."""
    there = [sources_of_classes(task, fold.train) for fold in task.folds]
    # A class that a fold has no clip of to learn from cannot be labelled there, and does not decide.
    fewest, scarce, tested = min(
        (number, task.classes[one], fold.name)
        for fold, counts in zip(task.folds, there, strict=True)
        for one, number in enumerate(counts)
        if number
    )
    budgets, undefined = [], []
    for key, text, number in _numbers(config):
        if key.endswith(PERCENT):
            counts = [[min(n, max(1, round(n * number / 100))) for n in of_fold] for of_fold in there]
        elif number <= fewest:
            counts = [[min(n, int(number)) for n in of_fold] for of_fold in there]
        else:
            undefined.append(
                f"{text}: {scarce!r} has {fewest} {'source' if fewest == 1 else 'sources'} to learn from where "
                f"{tested} is tested"
            )
            continue
        budgets.append(Budget(key, text, tuple(map(tuple, counts))))
    return budgets, undefined


def different_counts(budgets: Iterable[Budget]) -> list[Counts]:
    """The different numbers of labels, fewest first: 10 % may be 5 of each class."""
    return sorted({one.counts for one in budgets}, key=_total)


def labelled_clips(
    order: Mapping[int, list[NDArray[np.int64]]], counts: tuple[int, ...]
) -> NDArray[np.int64]:
    """Indices of the clips of the first sources of each class.

    Args:
        order: as from `shuffled_sources`; more labels include those of fewer.
        counts: of the sources of each class, one at least of those in `order`.
    """
    return np.concatenate([clips for one, sources in order.items() for clips in sources[: counts[one]]])


def _numbers(config: FewLabelsConfig) -> list[tuple[str, str, float]]:
    """Key, text and value of each number of labels that the settings ask for."""
    per_class = [(f"{one}_per_class", f"{one} of each class", float(one)) for one in config.per_class]
    return per_class + [(f"{one:g}{PERCENT}", f"{one:g} %", one) for one in config.percent]


def _total(counts: Counts) -> float:
    """Labelled sources, mean of the folds."""
    return float(np.mean([sum(of_fold) for of_fold in counts]))
