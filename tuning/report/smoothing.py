"""Estimates between trials: of the mean score along one parameter, and over two."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BANDWIDTH = 0.12  # of the searched range; twice that is what a curve shows no wiggle of
TRIALS_OF_A_SURFACE = 200  # the time of a Gaussian process grows with their cube
CELLS = 80

Floats = NDArray[np.float64]


def local_mean(places: Floats, scores: Floats, at: Floats) -> Floats:
    """The mean score near each place: a local line, which does not bend at the ends of the range.

    Args:
        places: (N,) of trials, 0 to 1 over the searched range.
        scores: (N,) theirs.
        at: (M,) places to estimate at.

    Returns:
        (M,) scores.

    Source: Cleveland, "Robust Locally Weighted Regression and Smoothing Scatterplots", JASA 1979, with a
        Gaussian weight and without the robust steps.
    """
    apart = places[None, :] - at[:, None]  # (M, N)
    weight = np.exp(-0.5 * (apart / BANDWIDTH) ** 2)
    weight /= weight.sum(1, keepdims=True)
    centre = (weight * apart).sum(1, keepdims=True)
    level = (weight * scores).sum(1)
    spread = (weight * (apart - centre) ** 2).sum(1)
    slope = (weight * (apart - centre) * (scores - level[:, None])).sum(1) / (spread + 0.1 * BANDWIDTH**2)
    return np.asarray(level - slope * centre[:, 0])


@dataclass(frozen=True)
class Surface:
    """The mean score over two parameters.

    Args:
        mean: (80, 80) estimated scores, second parameter down, first across, from 0 to 1 of both ranges.
        known: (80, 80) from 0, where it is a guess from afar, to 1, where trials pin it down.
        noise: standard deviation of single trials around it, as a score.
    """

    mean: Floats
    known: Floats
    noise: float


def surface(places: Floats, scores: Floats) -> Surface | None:
    """Estimate the mean score over two parameters by a Gaussian process with a term for chance.

    Args:
        places: (N, 2) of trials, 0 to 1 over both searched ranges.
        scores: (N,) theirs; of more than 200 a fixed random choice is used.

    Returns:
        None if all scores are equal.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    if len(scores) > TRIALS_OF_A_SURFACE:
        chosen = np.random.default_rng(0).permutation(len(scores))[:TRIALS_OF_A_SURFACE]
        places, scores = places[chosen], scores[chosen]
    unit = float(scores.std())
    if unit < 1e-9:
        return None
    # Lengths below a fifth of the range would draw an island around every trial.
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * RBF((0.4, 0.4), (0.2, 3.0)) + WhiteKernel(0.2, (0.01, 2.0))
    process = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=0)
    with warnings.catch_warnings():
        # A length at its bound says that a parameter does not matter, or that trials are few: both may be so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(places, (scores - scores.mean()) / unit)
    axis = np.linspace(0, 1, CELLS)
    cells = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mean, deviation = process.predict(cells, return_std=True)
    chance = process.kernel_.k2.noise_level
    signal = process.kernel_.k1.k1.constant_value
    known = np.clip(1 - (deviation**2 - chance) / signal, 0, 1)
    return Surface(
        mean=(scores.mean() + unit * mean).reshape(CELLS, CELLS),
        known=known.reshape(CELLS, CELLS),
        noise=unit * float(np.sqrt(chance)),
    )
