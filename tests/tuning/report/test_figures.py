from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from echopair.pipeline.figure_style import STYLE
from echopair.tuning.distributions import Choices, Distribution
from echopair.tuning.report.figures import FIGURES, ParameterAxis, draw_figures
from echopair.tuning.report.outcomes import Outcomes
from echopair.tuning.trials import Status
from tests.tuning.report.sweeps import SPACE, STRENGTH, grid_sweep, hill, random_sweep, trial

BOTH = {key: SPACE[key] for key in ("objective.temperature", "augment.strength")}


def drawn(name: str, outcomes: Outcomes) -> Figure:
    """One figure by its name."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # the stub lists every key as a literal
        figure = FIGURES[name][1](outcomes)
    assert figure is not None
    return figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_grid_has_cells_with_scores_or_how_their_trials_ended() -> None:
    figure = drawn("heat_map", Outcomes(grid_sweep(), BOTH, sources=96))
    cells = texts(figure)
    assert len(cells) == 12
    assert sorted(cells)[-4:] == ["diverged", *["stopped\nearly"] * 3]
    assert "65.0" in cells
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("temperature", "strength")
    assert axes.get_title(loc="left") == "score, ± 9 points (95 %, 96 sources)"


def test_a_heat_map_takes_the_two_most_important_parameters_and_no_seed() -> None:
    space = {"seed": SPACE["seed"], "pretrain.weight_decay": STRENGTH["augment.strength"], **BOTH}
    sweep = random_sweep(space, 60, hill)
    axes = drawn("heat_map", Outcomes(sweep, space)).axes[0]
    assert axes.get_xlabel() == "temperature"
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() in ("strength", "weight decay")


def test_the_best_score_and_repeated_values_have_their_intervals() -> None:
    figure = drawn("score_by_parameter", Outcomes(grid_sweep(), BOTH, sources=96, chance=0.3))
    assert legend(figure) == [
        "finished trial", "chance", "mean of the trials, 95 % interval", "best, 95 % interval from 96 sources",
    ]  # fmt: skip
    bars = [bar for bar in figure.axes[0].containers if bar.get_label().startswith("best")]
    ((low, high),) = bars[0].lines[2][0].get_segments()
    assert high[1] - low[1] == pytest.approx(2 * 9.4, abs=0.1)


def test_chance_is_drawn_where_curves_begin_at_it_and_not_far_below_scores() -> None:
    outcomes = Outcomes(random_sweep(BOTH, 16, hill), BOTH, chance=0.02)
    assert "chance" in legend(drawn("learning_curves", outcomes))
    assert "chance" not in legend(drawn("score_by_parameter", outcomes))


def test_learning_curves_end_where_trials_did() -> None:
    axes = drawn("learning_curves", Outcomes(grid_sweep(), BOTH)).axes[0]
    ends = sorted(float(np.asarray(line.get_xdata())[-1]) for line in axes.lines)
    assert ends == [12.5, *[37.5] * 3, *[100.0] * 8]


def test_labels_carry_the_units_of_their_keys() -> None:
    space: dict[str, Distribution] = {
        key: Choices(values=(1, 2))
        for key in (
            "crops.crop_seconds",
            "log_mel.max_hz",
            "augment.max_gain_db",
            "encoder.width",
            "objective.seconds",
        )
    }
    labels = [ParameterAxis(Outcomes([], space), key).label for key in space]
    assert labels == ["crop (s)", "max (Hz)", "max gain (dB)", "width", "seconds"]


def test_a_sweep_of_lists_and_mappings_is_drawn() -> None:
    choices: list[Any] = [["gain", "tilt"], {"name": "random", "operations": 3}, None, "$name$"]
    space: dict[str, Distribution] = {"augment.policy": Choices(values=tuple(choices)), **BOTH}
    sweep = random_sweep(space, 8, hill)
    assert len(draw_figures(Outcomes(sweep, space))) == len(FIGURES)
    axes = drawn("score_by_parameter", Outcomes(sweep, space)).axes[0]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["gain, tilt", "random (opera…", "none", "$name$"]


@pytest.mark.parametrize("status", [Status.WAITING, Status.RUNNING, Status.DIVERGED, Status.FAILED])
def test_nothing_is_drawn_of_trials_that_did_nothing(status: Status) -> None:
    idle = [trial(0, {"augment.strength": 1.0}, status=status, intermediate_scores=0, steps=0, seconds=0.0)]
    assert draw_figures(Outcomes(idle, STRENGTH)) == {}
    assert draw_figures(Outcomes([], STRENGTH)) == {}


def test_drawing_leaves_the_style_of_the_caller_alone() -> None:
    before = {key: value for key, value in mpl.rcParams.items() if key != "backend"}
    draw_figures(Outcomes(random_sweep(STRENGTH, 3, lambda strength: strength / 10), STRENGTH))
    assert {key: mpl.rcParams[key] for key in before} == before
