"""Colours of classes: a class keeps its own whatever is labelled."""

from echopair.pipeline.explore.colours import CATEGORY_COLOURS, coloured_classes, map_colours


def test_new_classes_come_after_those_of_the_table() -> None:
    own = ["rain", "", "dog", "rain"]
    assert coloured_classes(own, []) == ["dog", "rain"]
    assert coloured_classes(own, ["cat", "rain", "ant"]) == ["dog", "rain", "cat", "ant"]


def test_frequent_classes_get_the_colours() -> None:
    rare = [f"a rare one, {number}" for number in range(30)]
    frequent = [f"frequent {number}" for number in range(CATEGORY_COLOURS)]
    assert coloured_classes([*rare, *frequent, *frequent], ["new"])[:CATEGORY_COLOURS] == frequent
    assert len(map_colours()["categories"]["light"]) == CATEGORY_COLOURS
