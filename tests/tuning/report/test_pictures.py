from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from echopair.tuning.report.heat_map import axes_of, heat_map_picture
from echopair.tuning.report.importance_picture import importance_picture
from echopair.tuning.report.learning_curves import learning_curves_picture
from echopair.tuning.report.parallel_coordinates import parallel_coordinates_picture
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.pictures import PICTURES
from echopair.tuning.report.score_by_parameter import score_by_parameter_picture
from echopair.tuning.report.time_spent import time_spent_picture
from echopair.tuning.trials import Status, Trial
from tests.tuning.report.sweeps import ENCODER, SEED, STRENGTH, TEMPERATURE, along, hill, random_sweep, trial

BOTH = [TEMPERATURE, STRENGTH]
ALL = [TEMPERATURE, STRENGTH, ENCODER, SEED]
GRID = [
    Parameter("objective.temperature", log=True, values=(0.05, 0.1, 0.5)),
    Parameter("augment.strength", values=(0.5, 1.0)),
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they were saved."""
    saved: list[Figure] = []
    original: Callable[..., None] = Figure.savefig

    def keeping(figure: Figure, *args: Any, **kwargs: Any) -> None:
        saved.append(figure)
        original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keeping)
    return saved


def grid_sweep() -> list[Trial]:
    settings = [(t, s) for t in (0.05, 0.1, 0.5) for s in (0.5, 1.0)]
    scores = [0.60, 0.65, 0.70, 0.72, None, None]
    stati = [Status.FINISHED] * 4 + [Status.STOPPED, Status.DIVERGED]
    return [
        trial(
            n, {"objective.temperature": t, "augment.strength": s}, score, status, readings=8 if score else 1
        )
        for n, ((t, s), score, status) in enumerate(zip(settings, scores, stati, strict=True))
    ]


def with_others(sweep: list[Trial]) -> list[Trial]:
    """Some of each kind behind those that finished."""
    stati = (Status.STOPPED, Status.DIVERGED, Status.FAILED, Status.RUNNING, Status.WAITING)
    return sweep + [
        sweep[n].model_copy(
            update={
                "number": len(sweep) + n,
                "status": status,
                "score": None,
                "readings": sweep[n].readings[:n],
            }
        )
        for n, status in enumerate(stati)
    ]


def marks(axes: Axes) -> list[PathCollection]:
    return [each for each in axes.collections if isinstance(each, PathCollection)]


@pytest.mark.parametrize(
    ("trials", "skipped"), [(1, {"importance", "heat_map"}), (10, {"importance"}), (17, set())]
)
def test_every_picture_of_every_sweep_has_a_sensible_size(
    tmp_path: Path, trials: int, skipped: set[str]
) -> None:
    sweep = with_others(random_sweep(ALL, max(trials - 5, 5), hill))[:trials]
    for picture in PICTURES:
        path = tmp_path / f"{picture.name}.png"
        drawn = picture.draw(sweep, ALL, path)
        assert drawn == path.exists() == (picture.name not in skipped), picture.name
        if drawn:
            height, width, _ = imread(path).shape
            assert 300 < width < 2000, picture.name
            assert 200 < height < 2000, picture.name
            assert path.stat().st_size < 1_500_000, picture.name


def test_other_trials_make_other_pictures(tmp_path: Path) -> None:
    one, other = (random_sweep(BOTH, 8, hill, seed=seed) for seed in (0, 1))
    for picture in PICTURES:
        if picture.name == "time_spent":
            other = [each.model_copy(update={"seconds": 100.0 + each.number}) for each in other]
        picture.draw(one, BOTH, tmp_path / "one.png")
        picture.draw(one, BOTH, tmp_path / "again.png")
        picture.draw(other, BOTH, tmp_path / "other.png")
        first = (tmp_path / "one.png").read_bytes()
        assert first == (tmp_path / "again.png").read_bytes(), picture.name
        assert first != (tmp_path / "other.png").read_bytes(), picture.name


def test_without_a_finished_trial_only_the_course_of_trials_is_drawn(tmp_path: Path) -> None:
    stopped = [
        trial(0, {"objective.temperature": 0.1, "augment.strength": 1.0}, status="stopped", readings=2)
    ]
    drawn = {
        picture.name for picture in PICTURES if picture.draw(stopped, BOTH, tmp_path / f"{picture.name}.png")
    }
    assert drawn == {"learning_curves", "time_spent"}
    assert not [picture.name for picture in PICTURES if picture.draw([], BOTH, tmp_path / "none.png")]
    assert not (tmp_path / "none.png").exists()


def test_a_heat_map_shows_temperature_and_strength_first() -> None:
    sweep = random_sweep(ALL, 4, hill)
    others = [ENCODER, SEED, STRENGTH, TEMPERATURE]
    assert axes_of(sweep, others) == (TEMPERATURE, STRENGTH)
    assert axes_of(sweep, [ENCODER, SEED, STRENGTH]) is None


def test_a_heat_map_places_trials_and_colours_only_scores(tmp_path: Path, figures: list[Figure]) -> None:
    sweep = with_others(random_sweep(BOTH, 16, hill))
    assert heat_map_picture(sweep, BOTH, tmp_path / "map.png")
    stopped, diverged, done, ring = marks(figures[0].axes[0])
    assert [len(np.asarray(each.get_offsets())) for each in (stopped, diverged, done, ring)] == [1, 1, 16, 1]
    assert sorted(np.asarray(done.get_array())) == pytest.approx(sorted(each.score for each in sweep[:16]))  # type: ignore[type-var]
    best = max(sweep[:16], key=lambda each: each.score or 0)
    place = (
        np.log(best.values["objective.temperature"] / 0.02) / np.log(50),
        best.values["augment.strength"] / 3,
    )
    assert np.asarray(ring.get_offsets())[0] == pytest.approx(place)
    texts = [text.get_text() for text in figures[0].axes[0].texts]
    assert f"trial {best.number}: {100 * (best.score or 0):.1f} %" in texts


def test_a_heat_map_of_a_grid_has_numbers_in_its_cells(tmp_path: Path, figures: list[Figure]) -> None:
    assert heat_map_picture(grid_sweep(), GRID, tmp_path / "map.png")
    axes = figures[0].axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts if text.get_ha() == "center"}
    assert cells == {
        (0, 0): "60.0", (0, 1): "65.0", (1, 0): "70.0", (1, 1): "72.0", (2, 0): "stopped\nat 12 %", (2, 1): "diverged",
    }  # fmt: skip
    frames = [each for each in axes.patches if isinstance(each, Rectangle) and not each.get_fill()]
    assert [frame.get_xy() for frame in frames] == [(0.5, 0.5)]  # around the best
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.05", "0.1", "0.5"]


def test_a_panel_shades_the_plateau_and_says_it(tmp_path: Path, figures: list[Figure]) -> None:
    sweep = along(STRENGTH, [0.3, 0.9, 1.2, 1.5, 2.4], [0.6, 0.695, 0.70, 0.694, 0.6])
    assert score_by_parameter_picture(sweep, [STRENGTH], tmp_path / "scores.png")
    [axes] = figures[0].axes
    [shade] = [each for each in axes.patches if isinstance(each, Rectangle)]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.3, 0.5), abs=0.01)
    assert "0.9 to 1.5 within 1 point (3 of 3 trials)" in [text.get_text() for text in axes.texts]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["60", "62", "64", "66", "68", "70"]


def test_there_is_a_panel_a_parameter_and_a_seed_is_called_chance(
    tmp_path: Path, figures: list[Figure]
) -> None:
    assert score_by_parameter_picture(random_sweep(ALL, 20, hill), ALL, tmp_path / "scores.png")
    panels = {axes.get_title(loc="left"): axes for axes in figures[0].axes}
    assert list(panels) == ["temperature (log)", "strength", "encoder", "seed"]
    assert [text.get_text() for text in panels["seed"].texts] == ["chance, not a choice"]
    assert [label.get_text() for label in panels["encoder"].get_xticklabels()] == [
        "resnet",
        "vgg_like",
        "crnn",
    ]


def test_one_bad_trial_does_not_press_the_others_together(tmp_path: Path, figures: list[Figure]) -> None:
    scores = [0.05, *np.linspace(0.65, 0.7, 9)]
    score_by_parameter_picture(
        along(STRENGTH, np.linspace(0, 3, 10).tolist(), scores), [STRENGTH], tmp_path / "x.png"
    )
    [axes] = figures[0].axes
    assert axes.get_ylim()[0] > 0.5
    _, below, *_ = marks(axes)
    assert len(np.asarray(below.get_offsets())) == 1  # it is drawn at the lower end, as an arrow


def test_lines_lead_from_values_to_scores(tmp_path: Path, figures: list[Figure]) -> None:
    sweep = [
        *along(STRENGTH, [0.0, 1.5, 3.0], [0.60, 0.65, 0.70]),
        trial(9, {"augment.strength": 2.0}, status=Status.STOPPED),
    ]
    assert parallel_coordinates_picture(sweep, [STRENGTH], tmp_path / "lines.png")
    [axes] = figures[0].axes
    grey, others, top = [each for each in axes.collections if isinstance(each, LineCollection)]
    ends = [line[[0, -1], 1] for each in (others, top) for line in each.get_segments()]
    np.testing.assert_allclose(ends, [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]], atol=1e-9)
    [stopped] = grey.get_segments()
    assert stopped[:, 0].max() < 0.5  # ends before the axis of scores, at 1
    assert "trial 2: 70.0 %" in [text.get_text() for text in axes.texts]


def test_bars_are_as_long_as_their_shares_and_grey_if_they_cannot_be_trusted(
    tmp_path: Path, figures: list[Figure]
) -> None:
    importance_picture(random_sweep(BOTH, 40, hill), BOTH, tmp_path / "matters.png")
    importance_picture(random_sweep(BOTH, 20, lambda **_: 0.5), BOTH, tmp_path / "noise.png")
    matters, noise = (figure.axes[0] for figure in figures)
    assert [label.get_text() for label in matters.get_yticklabels()] == ["temperature", "strength"]
    widths = [bar.get_width() for bar in matters.patches if isinstance(bar, Rectangle)]
    assert sum(widths) == pytest.approx(100, abs=2)
    assert widths[0] > 60
    assert noise.get_title(loc="left") == "Which parameters matter cannot be told"
    assert matters.patches[0].get_facecolor() != noise.patches[0].get_facecolor()


def test_learning_curves_go_by_steps_or_by_shares_of_them(tmp_path: Path, figures: list[Figure]) -> None:
    sweep = with_others(random_sweep(BOTH, 5, hill))
    assert learning_curves_picture(sweep, tmp_path / "curves.png")
    shorter = sweep[0].model_copy(update={"steps": 1600})
    assert learning_curves_picture([shorter, *sweep[1:]], tmp_path / "shares.png")
    by_steps, by_shares = (figure.axes[0] for figure in figures)
    assert by_steps.get_xlabel() == "step"
    assert by_shares.get_xlabel() == "share of the training (%)"
    best = max(by_steps.lines, key=lambda line: line.get_linewidth())
    assert list(np.asarray(best.get_xdata())) == [100 * n for n in range(1, 9)]
    legend = by_steps.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][1:4] == [
        "failed (1)",
        "finished (5)",
        "diverged (1)",
    ] or [text.get_text() for text in legend.get_texts()]


def test_the_share_of_the_training_that_was_spent_is_a_number(tmp_path: Path, figures: list[Figure]) -> None:
    sweep = [
        trial(0, {}, 0.7, seconds=600.0),
        trial(1, {}, status=Status.STOPPED, readings=2, seconds=150.0),
        trial(2, {}, 0.0, Status.DIVERGED, readings=1, seconds=60.0),
        trial(3, {}, status=Status.RUNNING, readings=4, seconds=300.0),
    ]
    assert time_spent_picture(sweep, tmp_path / "time.png")
    share, times = figures[0].axes
    assert share.get_title(loc="left") == "46 % of the full training was spent"  # (1 + 2/8 + 1/8) / 3
    legend = times.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "finished: 1 trial, 10:00 min",
        "stopped early: 1 trial, 2:30 min",
        "diverged: 1 trial, 1:00 min",
        "running: 1 trial, 5:00 min",
    ]
    assert times.get_ylabel() == "minutes"
    assert [bar.get_height() for bar in times.patches if isinstance(bar, Rectangle)] == [10, 2.5, 1, 5]
