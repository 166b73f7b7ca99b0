import numpy as np
import pytest

from echopair.tuning.report.smoothing import CELLS, local_mean, surface


def test_a_line_stays_a_line_up_to_its_ends() -> None:
    places = np.linspace(0, 1, 200)
    at = np.array([0.0, 0.3, 1.0])
    np.testing.assert_allclose(local_mean(places, 0.4 + 0.2 * places, at), 0.4 + 0.2 * at, atol=0.005)


def test_the_mean_runs_through_the_middle_of_noise() -> None:
    generator = np.random.default_rng(0)
    places = generator.random(400)
    mean = local_mean(places, 0.6 + 0.05 * generator.normal(size=400), np.linspace(0.1, 0.9, 9))
    assert abs(mean - 0.6).max() < 0.02


def test_a_surface_finds_the_hill_and_the_noise_and_knows_where_it_knows_nothing() -> None:
    generator = np.random.default_rng(1)
    places = generator.random((60, 2)) * [1.0, 0.5]  # nothing in the upper half
    top = np.array([0.7, 0.25])
    scores = 0.7 - 0.3 * ((places - top) ** 2).sum(1) + 0.01 * generator.normal(size=60)
    found = surface(places, scores)
    assert found is not None
    lower_half = found.mean[: CELLS // 2]
    up, across = np.unravel_index(lower_half.argmax(), lower_half.shape)
    assert (across / CELLS, up / CELLS) == pytest.approx((0.7, 0.25), abs=0.12)
    assert found.noise == pytest.approx(0.01, rel=0.4)
    assert found.known[: CELLS // 2].mean() > 0.9
    assert found.known[-1].mean() < found.known[: CELLS // 2].mean() - 0.1


def test_noise_alone_has_no_hills() -> None:
    generator = np.random.default_rng(2)
    found = surface(generator.random((50, 2)), 0.5 + 0.02 * generator.normal(size=50))
    assert found is not None
    assert np.ptp(found.mean) < found.noise


def test_equal_scores_have_no_surface() -> None:
    assert surface(np.random.default_rng(3).random((10, 2)), np.full(10, 0.5)) is None
