import pytest

from echopair.tuning.distributions import Choices, Distribution, Grid, Integers, LogUniform, Uniform
from echopair.tuning.report.parameters import Parameter, as_tried, labels, parameter_of
from echopair.tuning.report.scale import Scale
from tests.tuning.report.sweeps import ENCODER, STRENGTH, TEMPERATURE, along


@pytest.mark.parametrize(
    ("domain", "parameter"),
    [
        (LogUniform(low=0.05, high=1.0), Parameter("a.b", log=True, low=0.05, high=1.0)),
        (Uniform(low=0.0, high=1.5), Parameter("a.b", low=0.0, high=1.5)),
        (Integers(low=1, high=64, log=True), Parameter("a.b", log=True, low=1.0, high=64.0)),
        (Choices(values=("x", "y")), Parameter("a.b", values=("x", "y"))),
        (Grid(values=(0.05, 0.1, 0.5)), Parameter("a.b", log=True, values=(0.05, 0.1, 0.5))),
        (Grid(values=(1, 2, 3)), Parameter("a.b", values=(1, 2, 3))),
    ],
)
def test_every_domain_becomes_a_parameter(domain: Distribution, parameter: Parameter) -> None:
    assert parameter_of("a.b", domain) == parameter


def test_labels_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    keys = ["objective.temperature", "operations.tilt.magnitude", "operations.gain.magnitude", "encoder.name"]
    assert list(labels([Parameter(key) for key in keys]).values()) == [
        "temperature",
        "tilt magnitude",
        "gain magnitude",
        "encoder",
    ]


def test_a_logarithmic_range_has_equal_factors_equally_far_apart_and_round_ticks() -> None:
    scale = Scale(TEMPERATURE, [])
    assert [scale.position(value) for value in (0.02, 0.02 * 50**0.5, 1.0)] == pytest.approx([0, 0.5, 1])
    assert [text for _, text in scale.ticks(8)] == ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]
    assert scale.ticks(8)[-1][0] == pytest.approx(1)


def test_a_wide_range_names_powers_and_a_narrow_one_plain_steps() -> None:
    wide = Scale(Parameter("rate", log=True, low=1e-6, high=1.0), [])
    assert [text for _, text in wide.ticks(8)] == ["1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1"]
    narrow = Scale(Parameter("rate", log=True, low=0.1, high=0.16), [])
    assert [text for _, text in narrow.ticks(8)] == ["0.1", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16"]


def test_whole_numbers_have_whole_ticks() -> None:
    scale = Scale(Parameter("width", low=1, high=4), [])
    assert [text for _, text in scale.ticks(8)] == ["1", "2", "3", "4"]


def test_finite_numbers_rise_and_words_keep_their_order() -> None:
    numbers = Scale(Parameter("a", values=(0.5, 0.1, 2)), [])
    assert [numbers.position(value) for value in (0.1, 0.5, 2.0)] == [0, 0.5, 1]
    words = Scale(ENCODER, along(ENCODER, ["convnext"], [0.5]))
    assert words.values == ["resnet", "vgg_like", "crnn", "convnext"]  # what was not searched comes last


def test_values_of_any_kind_have_a_place() -> None:
    values = (["gain", "tilt"], None, True, 1, {"name": "gain"})
    scale = Scale(Parameter("a", values=values), [])
    assert [scale.index(value) for value in values] == [0, 1, 2, 3, 4]
    assert not scale.numeric


def test_a_value_beyond_the_range_lies_beyond_it() -> None:
    assert Scale(STRENGTH, []).position(4.5) == 1.5


def test_a_range_tried_on_a_grid_is_its_values() -> None:
    grid = along(STRENGTH, [0.0, 0.0, 1.5, 1.5, 3.0, 3.0], [0.5] * 6)
    assert as_tried(STRENGTH, grid) == Parameter("augment.strength", values=(0.0, 1.5, 3.0))
    assert as_tried(STRENGTH, grid[1:]) == STRENGTH  # 0 was tried once
    assert as_tried(ENCODER, along(ENCODER, ["crnn", "crnn"], [0.5, 0.6])) == ENCODER
