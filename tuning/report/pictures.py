"""The pictures of a sweep, in the order of the report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from echopair.tuning.report.heat_map import heat_map_picture
from echopair.tuning.report.importance_picture import importance_picture
from echopair.tuning.report.learning_curves import learning_curves_picture
from echopair.tuning.report.parallel_coordinates import parallel_coordinates_picture
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.score_by_parameter import score_by_parameter_picture
from echopair.tuning.report.time_spent import time_spent_picture
from echopair.tuning.trials import Trial


class Picture(NamedTuple):
    """One of the pictures.

    Args:
        name: of its file, without `.png`.
        title: what it shows, for those who do not see it.
        draw: writes it to a path; False if the trials have nothing to show in it.
    """

    name: str
    title: str
    draw: Callable[[Sequence[Trial], Sequence[Parameter], Path], bool]


PICTURES = (
    Picture("score_by_parameter", "Score over the values of each parameter", score_by_parameter_picture),
    Picture("parallel_coordinates", "Settings of all trials and their scores", parallel_coordinates_picture),
    Picture("heat_map", "Score over two parameters", heat_map_picture),
    Picture("importance", "Importance of the parameters", importance_picture),
    Picture(
        "learning_curves",
        "Readings in the course of the training",
        lambda trials, _parameters, path: learning_curves_picture(trials, path),
    ),
    Picture(
        "time_spent",
        "Time of each trial, and the share of the full training that was spent",
        lambda trials, _parameters, path: time_spent_picture(trials, path),
    ),
)
