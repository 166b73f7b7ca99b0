"""What a sweep showed, in sentences that claim no more than its trials do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

from echopair.pipeline.corpus_report.warnings import counted
from echopair.tuning.report.importance import importance, why_no_importance
from echopair.tuning.report.outcomes import (
    best_first,
    finished,
    score_of,
    scores_of,
    training_spent,
    with_status,
    with_values,
)
from echopair.tuning.report.parameter_findings import (
    edge_findings,
    importance_finding,
    plateau_findings,
    unfinished_findings,
)
from echopair.tuning.report.parameters import Parameter, is_number, labels
from echopair.tuning.report.plateau import ROUNDING, WITHIN_SCORE
from echopair.tuning.report.words import joined, points, setting, whole_percent
from echopair.tuning.results import error_line, percent_text, status_words, value_text
from echopair.tuning.trials import Status, Trial

FEWEST_FOR_CHANCE = 4
NUMBERS_LISTED = 8
ERRORS_LISTED = 3
# A pattern among diverged trials is told if shuffled labels would show one less often than this.
ACCIDENT = 0.05


def findings(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[str]:
    """The findings of a sweep, the most important first; each a sentence or two of plain text.

    Args:
        trials: all of them, in any state.
        parameters: those swept.
    """
    if not trials:
        return ["No trial has begun."]
    names = labels(parameters)
    sentences = [_best(trials, names), *_seeds(trials, parameters, names)]
    if len(finished(trials)) > 1:
        sentences += edge_findings(trials, parameters)
        sentences += plateau_findings(trials, parameters)
    sentences += unfinished_findings(trials, parameters)
    if len(finished(trials)) > 1 and len(parameters) > 1:
        why_not = why_no_importance(trials, parameters)
        sentences.append(importance_finding(importance(trials, parameters), why_not))
    sentences += [*_stopped(trials), *_diverged(trials, parameters, names), *_failed(trials)]
    sentences += [*_changed(trials), *_under_way(trials)]
    return sentences


def _best(trials: Sequence[Trial], names: Mapping[str, str]) -> str:
    ranked = best_first(trials)
    if not ranked:
        return f"No trial has finished, so there is no best one: {_counts(trials)}."
    best = ranked[0]
    at = setting(best.values, names)
    told = f"Best: trial {best.number}, {percent_text(score_of(best))}" + (f", {at}." if at else ".")
    if len(ranked) == 1:
        return f"{told} It is the only one that finished: there is no score to compare it with."
    if score_of(best) == score_of(ranked[-1]):
        return f"{told} All {len(ranked)} finished trials have this score."
    near = [t for t in ranked[1:] if score_of(best) - score_of(t) <= WITHIN_SCORE + ROUNDING]
    if not near:
        second = ranked[1]
        lead = points(score_of(best) - score_of(second))
        return f"{told} The next, trial {second.number}, is {lead} lower ({len(ranked)} trials finished)."
    verb = "is" if len(near) == 1 else "are"
    return f"{told} {len(near)} more of {len(ranked)} finished trials {verb} within 1 point of it."


def _counts(trials: Sequence[Trial]) -> str:
    told = {status: len(with_status(trials, status)) for status in Status}
    return joined([f"{number} {status_words(status)}" for status, number in told.items() if number])


def _seeds(trials: Sequence[Trial], parameters: Sequence[Parameter], names: Mapping[str, str]) -> list[str]:
    """How far chance alone drives scores apart, as far as trials differ in nothing but a seed."""
    done = finished(trials)
    seeds = {parameter.key for parameter in parameters if parameter.is_seed}
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in done:
        groups[repr(sorted((k, repr(v)) for k, v in trial.values.items() if k not in seeds))].append(trial)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not seeds or not repeated:
        if len(done) < FEWEST_FOR_CHANCE:
            return []
        return [
            "This sweep cannot tell how far scores differ by chance: every setting ran once. With "
            "sweep.space.seed={name: grid, values: [0, 1]} each runs twice."
        ]
    widest = max(float(scores_of(group).max() - scores_of(group).min()) for group in repeated)
    runs = counted(sum(map(len, repeated)), "trial")
    told = f"Trials that differ in the seed alone lie up to {points(widest)} apart ({runs} at "
    sentences = [f"{told}{counted(len(repeated), 'setting')}): smaller differences may be chance."]
    if len(repeated) > 1:
        top = max(repeated, key=lambda group: float(scores_of(group).mean()))
        scores = scores_of(top)
        others = {key: name for key, name in names.items() if key not in seeds}
        sentences.append(
            f"Best by the mean over seeds: {setting(top[0].values, others)}, {percent_text(float(scores.mean()))} "
            f"({len(top)} seeds, {percent_text(float(scores.min()))} to {percent_text(float(scores.max()))})."
        )
    return sentences


def _stopped(trials: Sequence[Trial]) -> list[str]:
    stopped = with_status(trials, Status.STOPPED)
    spent = training_spent(trials)
    if not stopped or spent is None:
        return []
    ended = sum(trial.status.ended for trial in trials)
    return [
        f"{len(stopped)} of {counted(ended, 'trial')} {_were(len(stopped))} stopped early, by their readings: "
        f"{whole_percent(spent)} of all training steps were done. They have no score and count in nothing above."
        + _disagreement(trials)
    ]


def _disagreement(trials: Sequence[Trial]) -> str:
    """How often readings, which trials are stopped by, rank two finished trials otherwise than their scores do."""
    read = [trial for trial in finished(trials) if trial.readings]
    pairs = [(one, other) for one, other in combinations(read, 2) if score_of(one) != score_of(other)]
    otherwise = sum(
        (score_of(one) - score_of(other)) * (one.readings[-1].score - other.readings[-1].score) < 0
        for one, other in pairs
    )
    if not otherwise:
        return ""
    return f" Of {counted(len(pairs), 'pair')} of finished trials, last readings rank {otherwise} against their scores."


def _diverged(
    trials: Sequence[Trial], parameters: Sequence[Parameter], names: Mapping[str, str]
) -> list[str]:
    diverged = with_status(trials, Status.DIVERGED)
    if not diverged:
        return []
    where = next(filter(None, (_where(trials, p, names[p.key], len(parameters)) for p in parameters)), "")
    numbers = "" if where else f" ({_numbers(diverged)})"
    return [f"{len(diverged)} diverged{where or numbers}."]


def _where(trials: Sequence[Trial], parameter: Parameter, name: str, parameters: int) -> str:
    """What sets all diverged trials apart from all others, unless it may well be an accident."""
    others = with_values(with_status(trials, Status.FINISHED, Status.STOPPED), [parameter])
    diverged = with_values(with_status(trials, Status.DIVERGED), [parameter])
    if len(diverged) < 2 or not others:
        return ""
    bad, good = ([t.values[parameter.key] for t in group] for group in (diverged, others))
    if all(is_number(value) for value in [*bad, *good]):
        low, high = value_text(max(bad)), value_text(min(bad))
        candidates = [
            (f"{low} or lower", sum(value <= max(bad) for value in good)),
            (f"{high} or higher", sum(value >= min(bad) for value in good)),
        ]
    elif all(value == bad[0] for value in bad):
        candidates = [(value_text(bad[0]), sum(value == bad[0] for value in good))]
    else:
        return ""
    place, also_there = min(candidates, key=lambda candidate: candidate[1])
    # How often so many of all trials, drawn blindly, would all lie there; each parameter has two ends to be found at.
    accident = comb(len(bad) + also_there, len(bad)) / comb(len(bad) + len(good), len(bad))
    if 2 * parameters * accident > ACCIDENT:
        return ""
    all_of_them = "both" if len(bad) == 2 else "all of them"
    company = (
        f"as {_were(also_there)} {also_there} of {len(good)} others"
        if also_there
        else "where no other trial was"
    )
    return f", {all_of_them} at {name} {place}, {company}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _numbers(trials: Sequence[Trial]) -> str:
    listed = [str(trial.number) for trial in trials[:NUMBERS_LISTED]]
    if len(trials) > NUMBERS_LISTED:
        listed.append(f"{len(trials) - NUMBERS_LISTED} more")
    return f"trial{'s' if len(trials) > 1 else ''} {joined(listed)}"


def _failed(trials: Sequence[Trial]) -> list[str]:
    by_error: dict[str, list[Trial]] = defaultdict(list)
    for trial in with_status(trials, Status.FAILED):
        by_error[error_line(trial.error)].append(trial)
    kinds = sorted(by_error.items(), key=lambda item: -len(item[1]))
    told = [f"{len(of)} failed ({_numbers(of)}): {error}" for error, of in kinds[:ERRORS_LISTED]]
    if more := sum(len(of) for _, of in kinds[ERRORS_LISTED:]):
        told.append(f"{more} more failed for other reasons: see the table.")
    return told


def _changed(trials: Sequence[Trial]) -> list[str]:
    changed = [trial for trial in trials if len(trial.lineage) > 1]
    if not changed:
        return []
    return [
        f"Values are the last ones of a trial: the population changed those of {counted(len(changed), 'trial')} as "
        "it trained."
    ]


def _under_way(trials: Sequence[Trial]) -> list[str]:
    left = with_status(trials, Status.RUNNING, Status.WAITING)
    return [f"The sweep is not over: {_counts(left)}."] if left and finished(trials) else []
