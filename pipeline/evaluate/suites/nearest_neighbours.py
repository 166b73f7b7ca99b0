"""The suite `nearest_neighbours`: clips named by the embeddings next to theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.suites.linear import chance_of, score_metrics
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.nearest_neighbours import unit_vectors, votes_of_neighbours
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.evaluation.folds import Fold

TEMPERATURE = 0.07  # the authors'


class NearestNeighboursConfig(SuiteConfig):
    """How many neighbours vote; chosen in the training folds."""

    neighbours: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 3, 10, 30), min_length=1, description="numbers of neighbours to choose from"
    )


class NearestNeighbours(Suite):
    """Accuracy, or mean average precision, of the votes of the nearest clips."""

    name = "nearest_neighbours"
    question = "Are the clips next to a clip of its class?"
    method = (
        "The nearest clips of the training folds vote by cosine similarity, as Wu et al. (CVPR 2018); their number is "
        "chosen within the training folds. Nothing is fitted."
    )
    metrics: ClassVar = {"score": "accuracy", "macro_accuracy": "macro accuracy"}
    config = NearestNeighboursConfig

    def evaluate(self, task: Task, subject: Subject, config: NearestNeighboursConfig) -> Result:
        """See `Suite`."""
        directions = unit_vectors(subject.embeddings)
        chosen, scores = [], []
        with progress_bar(f"{self.name} {task.corpus}", len(task.folds), "folds") as advance:
            for fold in task.folds:
                neighbours = _choose(task, directions, fold, config.neighbours)
                chosen.append(neighbours)
                scores.append(
                    votes_of_neighbours(
                        directions[fold.test],
                        directions[fold.train],
                        task.targets[fold.train],
                        neighbours,
                        TEMPERATURE,
                    )
                )
                advance()
        return Result(score_metrics(task, np.concatenate(scores)), {"neighbours": chosen})

    def chance(self, task: Task, config: NearestNeighboursConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return chance_of(task)


def _choose(task: Task, directions: NDArray[np.float32], fold: Fold, numbers: tuple[int, ...]) -> int:
    """The number with the best mean score on the validation folds; the larger one where two are equal."""
    ordered = sorted(numbers, reverse=True)
    if len(ordered) == 1 or not fold.validation:
        return ordered[len(ordered) // 2]
    totals = np.zeros(len(ordered))
    for learn, choose in fold.validation:
        for n, neighbours in enumerate(ordered):
            votes = votes_of_neighbours(
                directions[choose], directions[learn], task.targets[learn], neighbours, TEMPERATURE
            )
            totals[n] += score_of(votes, task.targets[choose], task.multilabel)
    return ordered[int(totals.argmax())]
