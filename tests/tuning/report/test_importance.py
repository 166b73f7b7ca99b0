import pytest

from echopair.tuning.report.importance import importance, why_no_importance
from echopair.tuning.trials import Status
from tests.tuning.report.sweeps import ENCODER, STRENGTH, TEMPERATURE, hill, random_sweep, trial

BOTH = [STRENGTH, TEMPERATURE]


def test_what_matters_comes_first_and_what_does_not_has_no_share() -> None:
    parameters = [STRENGTH, ENCODER, TEMPERATURE]
    found = importance(random_sweep(parameters, 60, hill), parameters)
    assert found is not None
    assert found.trusted
    assert found.shares[0].key == "objective.temperature"
    assert found.shares[0].mean > 0.6
    assert found.shares[-1].key == "encoder.name"
    assert abs(found.shares[-1].mean) < 0.02
    assert sum(share.mean for share in found.shares) == pytest.approx(1, abs=0.02)
    assert all(share.low <= share.mean <= share.high for share in found.shares)


def test_chance_is_not_trusted() -> None:
    sweep = random_sweep(BOTH, 30, lambda **_: 0.5, noise=0.02)
    found = importance(sweep, BOTH)
    assert found is not None
    assert found.explained < 0.1
    assert not found.trusted


def test_an_interaction_counts_for_both() -> None:
    parameters = [STRENGTH, ENCODER, TEMPERATURE]
    sweep = random_sweep(
        parameters,
        150,
        lambda strength, temperature, **_: 0.6 + 0.1 * ((strength > 1.5) != (temperature > 0.14)),
    )
    found = importance(sweep, parameters)
    assert found is not None
    assert {share.key for share in found.shares[:2]} == {"augment.strength", "objective.temperature"}
    assert found.shares[1].mean > 0.35


def test_the_same_trials_have_the_same_importance() -> None:
    sweep = random_sweep(BOTH, 12, hill)
    first = importance(sweep, BOTH)
    importance(sweep[:-1], BOTH)  # forgets what it knew
    assert importance(sweep, BOTH) == first


def test_it_says_why_it_cannot_tell() -> None:
    sweep = random_sweep(BOTH, 8, hill)
    assert why_no_importance(sweep, BOTH) == ""
    seven = [*sweep[:7], trial(8, sweep[7].values, status=Status.STOPPED)]
    assert why_no_importance(seven, BOTH) == "it takes 8 finished trials, and there are 7"
    assert importance(seven, BOTH) is None
    assert "one parameter" in why_no_importance(sweep, [STRENGTH])
    equal = [each.model_copy(update={"score": 0.5}) for each in sweep]
    assert why_no_importance(equal, BOTH) == "all scores are equal"
    assert importance(equal, BOTH) is None
