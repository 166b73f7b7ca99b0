"""Which parameters the differences between scores rest on, and how far that can be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from echopair.tuning.report.outcomes import finished, scores_of, with_values
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.scale import Scale
from echopair.tuning.trials import Trial

FEWEST_TRIALS = 8
REPEATS = 4
FOLDS = 8
TREES = 40
SHUFFLES = 8
TRUSTED_SHARE = 0.3  # of the differences predicted; below it a ranking is more chance than not
# Where all parameters together are worth less than this share of the differences, their shares are noise writ large.
LEAST_GROWTH_SHARE = 0.1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """What of the predicted differences rests on one parameter: mean, least and most of the repeats.

    The means of all parameters add up to about 1, or to less where next to nothing is predicted; about 0, or a
    little less, is nothing.
    """

    key: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """The parameters that a forest used to predict scores it had not seen.

    Args:
        shares: of the parameters, the most important first.
        explained: R² of the predictions, at most 1; 0 or less is no better than the mean score.
        trials: that finished, and were learned from.
    """

    shares: tuple[Share, ...]
    explained: float
    trials: int

    @property
    def trusted(self) -> bool:
        """Whether the forest predicts enough for its ranking to mean something."""
        return self.explained >= TRUSTED_SHARE


def why_no_importance(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> str:
    """Why the importance cannot be told, as the end of a sentence; empty if it can."""
    done = with_values(finished(trials), parameters)
    if len(parameters) < 2:
        return "one parameter has none to be compared with"
    if len(done) < FEWEST_TRIALS:
        return f"it takes {FEWEST_TRIALS} finished trials, and there {_are(len(done))}"
    if np.ptp(scores_of(done)) < 1e-9:
        return "all scores are equal"
    return ""


def importance(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> Importance | None:
    """Measure by permutation how much of the differences between scores rests on each parameter.

    Random forests learn scores from values and predict held-out trials, once as they are and once with the
    values of one parameter drawn from other trials. How much the error grows by that, as a share of the growth
    over all parameters, is what rests on the parameter.

    Args:
        trials: of which the finished ones count.
        parameters: those swept; a seed among them shows what chance comes to.

    Returns:
        None where `why_no_importance` has a reason.

    Source: Breiman, "Random Forests", Machine Learning 45, 2001, section 10, with held-out folds for its
        out-of-bag trials, so that the same predictions tell how far the forest is to be trusted.
    """
    if why_no_importance(trials, parameters):
        return None
    done = with_values(finished(trials), parameters)
    scores = scores_of(done)
    places = (tuple(Scale(parameter, done).positions(done).tolist()) for parameter in parameters)
    unseen, growth = _held_out(tuple(places), tuple(scores.tolist()))
    shares = growth.mean(2)  # (REPEATS, P)
    # A value drawn from another trial adds twice the variance that rests on it.
    shares /= max(float(shares.mean(0).clip(0).sum()), 2 * LEAST_GROWTH_SHARE * float(scores.var()))
    order = np.argsort(-shares.mean(0), kind="stable")
    return Importance(
        shares=tuple(
            Share(parameters[n].key, float(of.mean()), float(of.min()), float(of.max()))
            for n, of in ((int(n), shares[:, n]) for n in order)
        ),
        explained=float(1 - ((unseen - scores) ** 2).mean() / scores.var()),
        trials=len(done),
    )


@lru_cache(maxsize=1)  # the findings and the picture ask for the same one, and it takes seconds
def _held_out(places: tuple[tuple[float, ...], ...], of_trials: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Predict trials by forests that did not learn from them.

    Args:
        places: (P, N) of parameters and trials.
        of_trials: (N,) scores.

    Returns:
        (REPEATS, N) predictions; (REPEATS, P, N) growth of the squared error with another trial's value.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    values, scores = np.array(places).T, np.array(of_trials)
    unseen = np.empty((REPEATS, len(scores)))
    growth = np.empty((REPEATS, len(places), len(scores)))
    for repeat in range(REPEATS):
        generator = np.random.default_rng(repeat)
        for learned, held_out in KFold(FOLDS, shuffle=True, random_state=repeat).split(values):
            forest = RandomForestRegressor(TREES, random_state=repeat)
            forest.fit(values[learned], scores[learned])
            shuffled = _shuffled(values, held_out, generator)  # (P, SHUFFLES, held out, P)
            asked = np.concatenate([values[held_out], shuffled.reshape(-1, len(places))])
            answers = forest.predict(asked)
            unseen[repeat, held_out] = answers[: len(held_out)]
            errors = (answers[len(held_out) :].reshape(shuffled.shape[:3]) - scores[held_out]) ** 2
            error = (unseen[repeat, held_out] - scores[held_out]) ** 2
            growth[repeat, :, held_out] = (errors.mean(1) - error).T
    return unseen, growth


def _shuffled(values: Floats, rows: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    """Copies of rows, for each parameter several in which that parameter's value is another trial's."""
    trials, parameters = values.shape
    copies = np.tile(values[rows], (parameters, SHUFFLES, 1, 1))
    for column in range(parameters):
        others = generator.integers(trials, size=(SHUFFLES, len(rows)))
        copies[column, :, :, column] = values[others, column]
    return copies


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"
