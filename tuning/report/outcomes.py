"""What a report is about: the trials of a sweep, what was swept, and what its scores come from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from echopair.tuning.distributions import Distribution
from echopair.tuning.results import ranked
from echopair.tuning.sampler import has_values, study_of
from echopair.tuning.texts import final_score
from echopair.tuning.trials import Trial

FEWEST_FOR_IMPORTANCE = 8


@dataclass(frozen=True)
class Outcomes:
    """The trials of a sweep.

    Args:
        trials: all of them, in any state.
        space: distributions by dotted key.
        clips: validation clips that a score comes from; None if that is not known.
        chance: score of guessing, 0 to 1; None if that is not known.
    """

    trials: Sequence[Trial]
    space: Mapping[str, Distribution]
    clips: int | None = None
    chance: float | None = None

    @cached_property
    def finished(self) -> list[tuple[Trial, float]]:
        """Trials that finished and their scores, the best first."""
        scores = ((trial, final_score(trial)) for trial in ranked(self.trials))
        return [(trial, score) for trial, score in scores if score is not None]

    @cached_property
    def repeated(self) -> list[list[float]]:
        """Scores of trials that differ in the seed alone, at least two each."""
        groups: dict[str, list[float]] = defaultdict(list)
        for trial, score in self.finished:
            setting = {key: value for key, value in trial.current.items() if not is_seed(key)}
            groups[repr(sorted(setting.items()))].append(score)
        return [scores for scores in groups.values() if len(scores) > 1]

    @cached_property
    def importance(self) -> dict[str, float]:
        """Share of the scores' variance that each key explains, the most important first; empty with too few trials.

        Source: Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance (fANOVA),
            ICML 2014, by optuna.
        """
        known = [(trial, score) for trial, score in self.finished if has_values(trial, self.space)]
        if (
            len(self.space) < 2
            or len(known) < FEWEST_FOR_IMPORTANCE
            or len({score for _, score in known}) < 2
        ):
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        study = study_of([trial for trial, _ in known], self.space)
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def is_seed(key: str) -> bool:
    """Whether a key's values differ by chance alone."""
    return key.rpartition(".")[2] == "seed"
