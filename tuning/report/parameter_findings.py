"""What a sweep showed of each of its parameters, in sentences."""

from collections import Counter
from collections.abc import Sequence

from echopair.tuning.report.importance import Importance
from echopair.tuning.report.outcomes import (
    best_first,
    finished,
    score_of,
    scores_of,
    with_status,
    with_values,
)
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.plateau import Plateau, plateau
from echopair.tuning.report.scale import Scale
from echopair.tuning.report.words import joined, whole_percent
from echopair.tuning.results import percent_text, value_text
from echopair.tuning.trials import Status, Trial

FEWEST_FOR_AN_EDGE = 4
EDGE_SHARE = 0.05  # of the searched range
NEAR_AN_EDGE_SHARE = 0.25
# Where half of the range or more is as good as the best, the best stands at its edge by chance.
EDGE_PLATEAU_SHARE = 0.5
VALUES_LISTED = 6
WORTH_TELLING_SHARE = 0.05
FEWEST_FOR_CERTAINTY = 20


def plateau_findings(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[str]:
    """For each parameter the values that did about as well as the best; empty with fewer than two scores."""
    done = finished(trials)
    if len(done) < 2:
        return []
    varied = [p for p in parameters if len(set(Scale(p, done).positions(with_values(done, [p])))) > 1]
    found = [(parameter, plateau(done, parameter)) for parameter in varied]
    flats = [(parameter, flat) for parameter, flat in found if flat is not None]
    # Of a range among other parameters the trials beside the best say little: those differ as well.
    alone = [p.key for p, flat in flats if len(flats) > 1 and len(flat.values) == 1 and p.values is None]
    sentences = [_plateau_sentence(done, p, flat) for p, flat in flats if p.key not in alone]
    if alone:
        sentences.append(f"{joined(alone)}: no value but the best trial's came within 1 point of the best.")
    if len(flats) > 1 and any(flat.trials < flat.trials_there for _, flat in flats):
        sentences.append(
            "A lower score may be due to a trial's other values: compare trials that differ in one setting alone."
        )
    return sentences


def _plateau_sentence(trials: Sequence[Trial], parameter: Parameter, flat: Plateau) -> str:
    done = with_values(trials, [parameter])
    others = _best_of_others(done, parameter, flat)
    if len(flat.values) > 1 and not others and flat.trials == len(done):
        between = f", from {stretch(flat)}," if flat.numeric else ""
        return f"{parameter.key}: all {len(done)} finished trials{between} are within 1 point of the best."
    if not flat.numeric:
        near = joined([value_text(value) for value in flat.values])
        best = f"only {near} came" if len(flat.values) == 1 else f"{near} came"
        return f"{parameter.key}: {best} within 1 point of the best" + (f"; {others}." if others else ".")
    if len(flat.values) == 1:
        at = f"{parameter.key}: no value but {value_text(flat.values[0])} came within 1 point of the best"
        return f"{at} ({_neighbours(done, parameter, flat)})."
    of_them = f"{flat.trials} of the {flat.trials_there}"
    if flat.trials == flat.trials_there:
        of_them = "both" if flat.trials == 2 else f"all {flat.trials}"
    width = f" (a factor of {value_text(flat.width)})" if flat.log else ""
    return f"{parameter.key}: from {stretch(flat)}, {of_them} trials are within 1 point of the best{width}."


def stretch(flat: Plateau) -> str:
    """The ends of a plateau of numbers: "0.08 to 0.21"."""
    return f"{value_text(flat.values[0])} to {value_text(flat.values[-1])}"


def _best_of_others(done: Sequence[Trial], parameter: Parameter, flat: Plateau) -> str:
    """How far the values outside a plateau came, where they are few enough to be listed."""
    near = {value_text(value) for value in flat.values}
    best: dict[str, Trial] = {}
    for trial in best_first(done):
        best.setdefault(value_text(trial.values[parameter.key]), trial)
    others = [
        f"{name} came to {percent_text(score_of(trial))}" for name, trial in best.items() if name not in near
    ]
    more = f"; {len(others) - VALUES_LISTED} more came lower" if len(others) > VALUES_LISTED else ""
    return "; ".join(others[:VALUES_LISTED]) + more


def _neighbours(done: Sequence[Trial], parameter: Parameter, flat: Plateau) -> str:
    """The values tried next to a plateau of one value, and how far they came."""
    scale = Scale(parameter, done)
    at = scale.position(flat.values[0])
    told = []
    for side, word in ((-1, "below"), (1, "above")):
        beyond = [t for t in best_first(done) if side * (scale.position(t.values[parameter.key]) - at) > 0]
        if beyond:
            nearest = min(beyond, key=lambda t: abs(scale.position(t.values[parameter.key]) - at))
            value = value_text(nearest.values[parameter.key])
            told.append(f"next {word}, {value} came to {percent_text(score_of(nearest))}")
    return "; ".join(told)


def edge_findings(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[str]:
    """Parameters whose best value lies at the end of what was searched: a better one may lie beyond."""
    ranked = best_first(trials)
    if len(ranked) < FEWEST_FOR_AN_EDGE:
        return []
    sentences = []
    for parameter in parameters:
        flat = plateau(trials, parameter)
        if flat is None or not flat.numeric or flat.share >= EDGE_PLATEAU_SHARE:
            continue
        scale = Scale(parameter, trials)
        if scale.finite and len(scale.values) < 3:
            continue
        place = scale.position(flat.best_value)
        edge = 0.0 if scale.finite else EDGE_SHARE
        end = "lower" if place <= edge else "upper" if place >= 1 - edge else ""
        if end and _rises_towards(end, trials, scale):
            low, high = (scale.values[0], scale.values[-1]) if scale.finite else (scale.low, scale.high)
            sentences.append(
                f"Best lies at the {end} edge of the searched range of {parameter.key} ({value_text(flat.best_value)}, "
                f"searched from {value_text(low)} to {value_text(high)}): better ones may lie beyond. Widen "
                f"sweep.space.{parameter.key} if it can be."
            )
    return sentences


def unfinished_findings(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[str]:
    """Values out of a few of which no trial has a score, since all were stopped early."""
    sentences = []
    for parameter in parameters:
        stopped, others = (
            Counter(value_text(trial.values[parameter.key]) for trial in with_values(group, [parameter]))
            for group in (
                with_status(trials, Status.STOPPED),
                [t for t in trials if t.status != Status.STOPPED],
            )
        )
        if len(stopped | others) > VALUES_LISTED or parameter.is_seed:
            continue
        sentences += [
            f"{parameter.key}: {name} has no score, since {'both' if count == 2 else f'all {count}'} of its trials "
            "were stopped early."
            for name, count in stopped.items()
            if count > 1 and not others[name]
        ]
    return sentences


def _rises_towards(end: str, trials: Sequence[Trial], scale: Scale) -> bool:
    """Whether trials near an end were better on average: the best one alone may lie there by chance."""
    done = with_values(finished(trials), [scale.parameter])
    places, scores = scale.positions(done), scores_of(done)
    near = places <= NEAR_AN_EDGE_SHARE if end == "lower" else places >= 1 - NEAR_AN_EDGE_SHARE
    return bool(not near.all() and scores[near].mean() > scores[~near].mean())


def importance_finding(found: Importance | None, why_not: str) -> str:
    """Which parameters matter, or why that cannot be told."""
    if found is None:
        return f"Which parameter matters most cannot be told: {why_not}."
    explained = whole_percent(max(0.0, found.explained))
    predicts = f"a random forest predicts {explained} of the differences between {found.trials} scores it had not seen"
    if not found.trusted:
        return f"Which parameter matters most cannot be told: {predicts}."
    rivals = [share for share in found.shares if share.high >= found.shares[0].low]
    seems = found.trials < FEWEST_FOR_CERTAINTY
    if len(rivals) == 1:
        told = f"{rivals[0].key} {'seems to matter' if seems else 'matters'} most"
    else:
        verb = "seem to matter" if seems else "matter"
        told = f"{joined([share.key for share in rivals])} {verb} most, and which of them more cannot be told"
    shares = [share for share in found.shares if share.mean >= WORTH_TELLING_SHARE]
    listed = joined([f"{share.key} ({whole_percent(share.mean)})" for share in shares])
    return f"{told}: {predicts}, which rests on {listed}."
