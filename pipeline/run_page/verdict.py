"""Whether pretraining helped, in one sentence, and what to try if it did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from echopair.models.representation_health import COLLAPSED_RANK
from echopair.pipeline.embed import PRETRAINED

Outcome = Literal["helped", "unclear", "did not help"]
LEAST_FOLDS = 3
# Share of views whose positive is the nearest neighbour at the end of the training.
TOO_EASY, TOO_HARD = 0.98, 0.2


@dataclass(frozen=True)
class Verdict:
    """Whether the pretrained encoder is better than the best baseline."""

    outcome: Outcome
    sentence: str


def verdict(probe: Mapping[str, Any]) -> Verdict:
    """Compare the pretrained features with the best baseline.

    With 3 folds or more the scores are compared fold by fold: the interval is that of the corrected t-test of
    Nadeau and Bengio (2003), since folds share training clips. With fewer, the two 95 % intervals are compared.

    Args:
        probe: content of probe.json.
    """
    features = probe["features"]
    name = max((name for name in features if name != PRETRAINED), key=lambda name: features[name]["score"])
    ours, best = features[PRETRAINED], features[name]
    points = 100 * (ours["score"] - best["score"])
    low, high, how = _interval(ours, best)
    outcome: Outcome = "helped" if low > 0 else "did not help" if high <= 0 else "unclear"
    metric = str(probe["metric"]).replace("_", " ")
    scores = f"{ours['score']:.1%} {metric} against {best['score']:.1%} for the best baseline ({name})"
    difference = f"a difference of {points:+.1f} points {how}"
    match outcome:
        case "helped":
            sentence = f"Pretraining helped on {probe['corpus']}: {scores}, {difference}."
        case "did not help":
            sentence = f"Pretraining did not help on {probe['corpus']}: {scores}, {difference}."
        case "unclear":
            sentence = f"Whether pretraining helped on {probe['corpus']} is unclear: {scores}, {difference}."
    return Verdict(outcome, sentence.replace("-", "\N{MINUS SIGN}") if points < 0 else sentence)


def _interval(ours: Mapping[str, Any], best: Mapping[str, Any]) -> tuple[float, float, str]:
    """Lower and upper end of the difference in points, and how they were computed."""
    differences = 100 * (np.array(ours["per_fold"]) - np.array(best["per_fold"]))
    folds = len(differences)
    if folds >= LEAST_FOLDS:
        from scipy.stats import t

        # Test clips per training clip are 1 / (folds - 1).
        error = float(differences.std(ddof=1)) * (1 / folds + 1 / (folds - 1)) ** 0.5
        half = float(t.ppf(0.975, folds - 1)) * error
        low, high = float(differences.mean()) - half, float(differences.mean()) + half
        return low, high, f"(95 % interval {low:+.1f} to {high:+.1f}, paired over {folds} folds)"
    if ours["interval"] is None:
        return -100.0, 100.0, "(of too few sources for an interval)"
    point = [best["score"], best["score"]]  # chance has no interval
    ours_low, ours_high = ours["interval"]
    best_low, best_high = best["interval"] or point
    apart = ours_low > best_high or ours_high <= best_low
    how = "beyond both 95 % intervals" if apart else "within the 95 % intervals"
    return 100 * (ours_low - best_high), 100 * (ours_high - best_low), f"({how})"


def advice(metrics: Sequence[Mapping[str, float]]) -> list[str]:
    """What to try if pretraining did not help, the most promising first.

    Args:
        metrics: rows of the training's `metrics.jsonl`.
    """
    last = metrics[-1] if metrics else {}
    nearest = last.get("retrieval_top1")
    tips = []
    if last.get("effective_rank", np.inf) < COLLAPSED_RANK:
        tips.append(
            "The representation has collapsed: lower pretrain.learning_rate or augment.strength, and train again."
        )
    if nearest is not None and nearest > TOO_EASY:
        tips.append(
            f"{nearest:.0%} of the views find their positive: the task is easy. Raise augment.strength, or "
            "pretrain.batch_pairs."
        )
    if nearest is not None and nearest < TOO_HARD:
        tips.append(
            f"Only {nearest:.0%} of the views find their positive: the training is too short, or augment.strength "
            "too high."
        )
    return [
        *tips,
        "Train longer: set pretrain.steps, pretrain.epochs or pretrain.minutes to a multiple of its value.",
        "Add recordings for pretraining; they need no labels.",
        "Listen to the pairs below: if the two views of a pair are no longer the same sound, lower augment.strength.",
        "Search settings by a sweep; the commands are at the end of this page.",
    ]
