"""What a report is about: the trials of a sweep, what was swept, what its scores come from, and three sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from echopair.tuning.distributions import Distribution
from echopair.tuning.report.paired_seeds import settings_of
from echopair.tuning.results import exit_note, ranked, summary_line
from echopair.tuning.sampler import study_of
from echopair.tuning.texts import (
    done_share,
    duration_text,
    final_score,
    half_interval,
    percent_text,
    score_text,
    short_keys,
    value_text,
)
from echopair.tuning.trials import Status, Trial

FEWEST_FOR_IMPORTANCE = 8


@dataclass(frozen=True)
class Outcomes:
    """The trials of a sweep.

    Args:
        sources: of the validation clips that a score comes from; None if that is not known.
        chance: score of guessing, 0 to 1; None if that is not known.
    """

    trials: Sequence[Trial]
    space: Mapping[str, Distribution]
    sources: int | None = None
    chance: float | None = None

    @cached_property
    def finished(self) -> list[tuple[Trial, float]]:
        """Trials that finished and their scores, the best first."""
        scores = ((trial, final_score(trial)) for trial in ranked(self.trials))
        return [(trial, score) for trial, score in scores if score is not None]

    @cached_property
    def repeated(self) -> list[list[float]]:
        """Scores of trials that differ in the seed alone, at least two each."""
        return [list(setting.scores.values()) for setting in settings_of(self.trials)]

    @cached_property
    def importance(self) -> dict[str, float]:
        """Share of the scores' variance that each key explains, the most important first; empty with too few trials.

        Source: Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance (fANOVA),
            ICML 2014, by optuna.
        """
        scores = {score for _, score in self.finished}
        if len(self.space) < 2 or len(self.finished) < FEWEST_FOR_IMPORTANCE or len(scores) < 2:
            return {}
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        study = study_of([trial for trial, _ in self.finished], self.space)
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def summary(outcomes: Outcomes) -> list[str]:
    """The best trial; how far the parameters matter beside chance; what was stopped or failed, and the time."""
    if not outcomes.trials:
        return ["No trial has begun."]
    return [_best(outcomes), *_differences(outcomes), _ends(outcomes)]


def _best(outcomes: Outcomes) -> str:
    if not outcomes.finished:
        return "No trial has finished, so there is no best one."
    best, score = outcomes.finished[0]
    names = zip(outcomes.space, short_keys(list(outcomes.space)), strict=True)
    values = ", ".join(
        f"{name} {value_text(best.current[key])}" for key, name in names if key in best.current
    )
    source = (
        f" (95 % interval from {outcomes.sources} sources of validation clips)" if outcomes.sources else ""
    )
    return f"Best: trial {best.number} with {values}, {score_text(score, outcomes.sources)}{source}."


def _differences(outcomes: Outcomes) -> list[str]:
    """How far scores differ, beside what seeds alone or the number of clips explain."""
    scores = [score for _, score in outcomes.finished]
    if len(scores) < 2:
        return []
    text = f"Scores of the {len(scores)} finished trials are {percent_text(scores[-1])} to {percent_text(scores[0])}"
    if outcomes.repeated:
        spread = fmean(stdev(group) ** 2 for group in outcomes.repeated) ** 0.5
        text += (
            f"; trials that differ in the seed alone have a standard deviation of {100 * spread:.1f} points "
            f"({len(outcomes.repeated)} settings)"
        )
    elif outcomes.sources:
        width = half_interval(scores[0], outcomes.sources)
        near = sum(score >= scores[0] - width for score in scores[1:])
        text += f"; {near} of the other {len(scores) - 1} scored within the interval of the best"
    else:
        text += "; every setting ran once, so how far they differ by chance is not known"
    if outcomes.importance:
        key, share = next(iter(outcomes.importance.items()))
        name = short_keys(list(outcomes.space))[list(outcomes.space).index(key)]
        text += f"; {name} explains most of their variance ({percent_text(share, digits=0)})"
    return [f"{text}."]


def _ends(outcomes: Outcomes) -> str:
    ended = [trial for trial in outcomes.trials if trial.status.ended]
    text = summary_line(outcomes.trials)
    if any(trial.status is Status.STOPPED for trial in ended):
        done = percent_text(fmean(map(done_share, ended)), digits=0)
        text += f"; {done} of all training steps were done, the others saved by stopping early"
    text += f"; {duration_text(sum(trial.seconds for trial in outcomes.trials))} of work in all trials"
    note = exit_note(outcomes.trials)
    return f"{text}; {note}." if note else f"{text}."
