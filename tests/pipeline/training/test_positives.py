import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import SegmentIndex
from echopair.pipeline.training.positives import (
    LabelIndex,
    NeighboursConfig,
    Places,
    PositivesConfig,
    SameCropConfig,
    SameLabelConfig,
    TwoOffsetsConfig,
    place_crops,
)

RATE = 1000
CROP = 100
CONFIGS = (SameCropConfig(), TwoOffsetsConfig(), NeighboursConfig(max_seconds_apart=0.05), SameLabelConfig())
WITHIN_A_SEGMENT = CONFIGS[:3]


def segments(stores: list[list[list[int]]]) -> NDArray[np.int64]:
    """The table of segments whose lengths in samples are given, by store and clip."""
    return np.array(
        [
            (store, clip, sum(lengths[:part]), samples)
            for store, clips in enumerate(stores)
            for clip, lengths in enumerate(clips)
            for part, samples in enumerate(lengths)
        ]
    )


lengths = st.integers(1, 1000)
tables = st.lists(
    st.lists(st.lists(lengths, min_size=1, max_size=3), min_size=1, max_size=4), min_size=1, max_size=2
)
views_and_seeds = st.tuples(st.integers(2, 5), st.integers(0, 2**32))


def labels_for(stores: list[list[list[int]]]) -> list[list[tuple[str, ...]]]:
    """Clips of two classes, of both, of none and of one alone; the first and the last are of one class."""
    kinds: list[tuple[str, ...]] = [("a",), ("b",), (), ("a", "b"), ("only here",)]
    labels = [
        [kinds[(3 * store + clip) % 5] for clip in range(len(clips))] for store, clips in enumerate(stores)
    ]
    labels[0][0] = labels[-1][-1] = ("a",)
    return labels


def placed(
    config: PositivesConfig,
    table: NDArray[np.int64],
    numbers: NDArray[np.int64],
    views: int,
    seed: int,
    labels: list[list[tuple[str, ...]]] | None = None,
) -> Places:
    draws = np.random.default_rng(seed).random((views, len(numbers), config.DRAWS_PER_VIEW))
    index = LabelIndex(table, labels) if labels is not None else None
    return place_crops(config, table, numbers, draws, CROP, RATE, index)


@settings(deadline=None)
@given(tables, views_and_seeds)
def test_a_crop_lies_in_a_segment_or_begins_where_a_short_one_does(
    stores: list[list[list[int]]], views_and_seed: tuple[int, int]
) -> None:
    stores[0].append([400])  # so that two clips may share a label
    table = segments(stores)
    numbers = np.arange(len(table))
    for config in CONFIGS:
        labels = labels_for(stores) if isinstance(config, SameLabelConfig) else None
        places = placed(config, table, numbers, *views_and_seed, labels)
        assert all(part.shape == (views_and_seed[0], len(table)) for part in places)
        for store, clip, start in zip(*(part.ravel().tolist() for part in places), strict=True):
            possible = table[(table[:, 0] == store) & (table[:, 1] == clip)]
            assert any(
                first <= start and (start + CROP <= first + samples or (samples < CROP and start == first))
                for _, _, first, samples in possible.tolist()
            )


@settings(deadline=None)
@given(tables, views_and_seeds)
def test_views_of_a_pair_are_of_its_segment_unless_labels_say_otherwise(
    stores: list[list[list[int]]], views_and_seed: tuple[int, int]
) -> None:
    table = segments(stores)
    numbers = np.random.default_rng(0).permutation(len(table))
    for config in WITHIN_A_SEGMENT:
        places = placed(config, table, numbers, *views_and_seed)
        store, clip, first, samples = table[numbers].T
        assert (places.store == store).all()
        assert (places.clip == clip).all()
        assert (places.start >= first).all()
        assert (places.start <= first + np.maximum(0, samples - CROP)).all()


@settings(deadline=None)
@given(tables, views_and_seeds, st.integers(0, 2**32))
def test_a_changed_clip_changes_no_other_place(
    stores: list[list[list[int]]], views_and_seed: tuple[int, int], seed: int
) -> None:
    stores[0].append([400])
    table = segments(stores)
    numbers = np.arange(len(table))
    changed = table.copy()
    one = int(np.random.default_rng(seed).integers(len(table)))
    changed[one, 3] = 5000
    for config in CONFIGS:
        labels = labels_for(stores) if isinstance(config, SameLabelConfig) else None
        before = placed(config, table, numbers, *views_and_seed, labels)
        after = placed(config, changed, numbers, *views_and_seed, labels)
        elsewhere = (before.store != table[one, 0]) | (before.clip != table[one, 1])
        assert (before.store == after.store).all()
        assert (before.clip == after.clip).all()
        assert (before.start == after.start)[elsewhere].all()


@pytest.mark.parametrize("config", [SameCropConfig(), TwoOffsetsConfig(), SameLabelConfig()])
def test_another_view_leaves_the_others_where_they_are(config: PositivesConfig) -> None:
    stores = [[[500], [300, 300], [700]], [[900], [50]]]
    table = segments(stores)
    labels = labels_for(stores) if isinstance(config, SameLabelConfig) else None
    two = placed(config, table, np.arange(6), 2, 7, labels)
    three = placed(config, table, np.arange(6), 3, 7, labels)
    for before, after in zip(two, three, strict=True):
        assert (after[:2] == before).all()


def test_equal_draws_give_equal_places_and_stay_as_they_are() -> None:
    table = segments([[[500], [300, 300], [700]]])
    index = LabelIndex(table, [[("a",), ("a",), ("a",)]])
    for config in CONFIGS:
        draws = np.random.default_rng(0).random((3, 4, config.DRAWS_PER_VIEW))
        first, second = (place_crops(config, table, np.arange(4), draws, CROP, RATE, index) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert (one == other).all()
        assert (draws == np.random.default_rng(0).random((3, 4, config.DRAWS_PER_VIEW))).all()


def test_same_crop_is_one_place() -> None:
    places = placed(SameCropConfig(), segments([[[500], [900]]]), np.array([1, 0]), 4, 0)
    assert (places.start == places.start[0]).all()
    assert places.start[0].tolist() == [
        int(draw * room) for draw, room in zip(np.random.default_rng(0).random(2), [801, 401], strict=True)
    ]


def test_two_offsets_are_the_draws_scaled_to_the_room() -> None:
    table = segments([[[500, 600], [90]]])
    numbers = np.array([2, 1, 0])
    draws = np.random.default_rng(3).random((3, 3, 1))
    places = place_crops(TwoOffsetsConfig(), table, numbers, draws, CROP, RATE)
    for view in range(3):
        for pair, number in enumerate(numbers):
            _, _, first, samples = table[number].tolist()
            room = max(0, samples - CROP) + 1
            assert places.start[view, pair] == first + int(draws[view, pair, 0] * room)


def test_two_offsets_reach_all_places_equally_often() -> None:
    draws = (np.arange(700) + 0.5).reshape(1, 700, 1) / 700
    table = segments([[[CROP + 6]]])
    places = place_crops(TwoOffsetsConfig(), table, np.zeros(700, dtype=np.int64), draws, CROP, RATE)
    assert Counter(places.start[0].tolist()) == dict.fromkeys(range(7), 100)


@settings(deadline=None)
@given(
    st.lists(lengths, min_size=1, max_size=8),
    st.floats(0.001, 1.0),
    st.integers(2, 8),
    st.integers(0, 2**32),
)
def test_neighbours_keep_their_distance(samples: list[int], seconds: float, views: int, seed: int) -> None:
    config = NeighboursConfig(max_seconds_apart=seconds)
    table = segments([[[one] for one in samples]])
    start = placed(config, table, np.arange(len(samples)), views, seed).start
    assert (np.ptp(start, axis=0) <= round(seconds * RATE)).all()


def grid(*counts: int) -> list[NDArray[np.float64]]:
    """The middles of equal parts of (0, 1), in all combinations."""
    axes = np.meshgrid(*((np.arange(count) + 0.5) / count for count in counts), indexing="ij")
    return [axis.ravel() for axis in axes]


def test_two_neighbours_are_uniform_over_all_allowed_pairs_of_places() -> None:
    """Counts in squares of 100 by 100 places against the share of each square's pairs that are allowed."""
    room, apart, square = 999, 300, 100
    first, second, shared = grid(45, 45, 340)
    draws = np.stack([np.stack([first, shared], axis=1), np.stack([second, shared], axis=1)])
    table = segments([[[CROP + room]]])
    config = NeighboursConfig(max_seconds_apart=apart / RATE)
    start = place_crops(config, table, np.zeros(len(shared), dtype=np.int64), draws, CROP, RATE).start
    counts, _, _ = np.histogram2d(start[0], start[1], bins=10, range=[[0, room + 1], [0, room + 1]])
    places = np.arange(room + 1)
    allowed = np.abs(places[:, None] - places) <= apart
    expected = allowed.reshape(10, square, 10, square).sum((1, 3)) / allowed.sum()
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=0.03 * expected.max())


@pytest.mark.parametrize("views", [2, 3, 5])
def test_neighbours_are_as_if_drawn_anew_until_they_are_near(views: int) -> None:
    room, apart, pairs = 999, 300, 40_000
    start = placed(
        NeighboursConfig(max_seconds_apart=apart / RATE),
        segments([[[CROP + room]]]),
        np.zeros(pairs, dtype=np.int64),
        views,
        0,
    ).start
    tries = np.random.default_rng(1).integers(0, room + 1, (views, 20 * pairs))
    near = tries[:, np.ptp(tries, axis=0) <= apart]
    assert near.shape[1] > 20_000
    # Tenths of the segment at which each view, the earliest and the latest are, and how far they are apart.
    measures = [*zip(start, near, strict=True), (start.min(0), near.min(0)), (start.max(0), near.max(0))]
    for ours, reference in [*measures, (np.ptp(start, axis=0), np.ptp(near, axis=0))]:
        for quantile in np.arange(0.1, 1, 0.1):
            assert (ours < np.quantile(reference, quantile)).mean() == pytest.approx(quantile, abs=0.02)


def test_neighbours_reach_the_first_and_the_last_place_and_the_whole_distance() -> None:
    config = NeighboursConfig(max_seconds_apart=3 / RATE)
    start = placed(config, segments([[[CROP + 9]]]), np.zeros(5000, dtype=np.int64), 2, 0).start
    reached = set(zip(*start.tolist(), strict=True))
    assert reached == {(one, other) for one in range(10) for other in range(10) if abs(one - other) <= 3}


def test_without_room_for_the_distance_neighbours_are_two_offsets() -> None:
    table = segments([[[CROP + 50], [CROP + 49], [CROP], [7]]])
    draws = np.random.default_rng(0).random((3, 4, 2))
    near = place_crops(NeighboursConfig(max_seconds_apart=0.05), table, np.arange(4), draws, CROP, RATE)
    free = place_crops(TwoOffsetsConfig(), table, np.arange(4), draws[..., :1], CROP, RATE)
    assert (near.start == free.start).all()


def test_views_after_the_first_are_of_other_clips_with_the_label() -> None:
    labels: list[list[tuple[str, ...]]] = [
        [("dog",), ("cat",), ("dog", "rain")],
        [("rain",), ("dog",), (), ("owl",), ("cat", "cat")],
    ]
    table = segments([[[300], [300, 300], [300]], [[300]] * 5])
    numbers = np.tile(np.arange(len(table)), 200)
    places = placed(SameLabelConfig(), table, numbers, 3, 0, labels)
    own = list(zip(*table[numbers, :2].T.tolist(), strict=True))
    assert list(zip(places.store[0].tolist(), places.clip[0].tolist(), strict=True)) == own
    reached: dict[tuple[int, int], set[tuple[int, int]]] = {clip: set() for clip in own}
    for view in (1, 2):
        for pair, clip in enumerate(own):
            reached[clip].add((int(places.store[view, pair]), int(places.clip[view, pair])))
    assert reached == {
        (0, 0): {(0, 2), (1, 1)},
        (0, 1): {(1, 4)},
        (0, 2): {(0, 0), (1, 1), (1, 0)},
        (1, 0): {(0, 2)},
        (1, 1): {(0, 0), (0, 2)},
        (1, 2): {(1, 2)},  # no label
        (1, 3): {(1, 3)},  # nobody else's
        (1, 4): {(0, 1)},
    }


def test_labels_then_clips_then_segments_are_equally_likely() -> None:
    labels: list[list[tuple[str, ...]]] = [[("a", "b"), ("a",), ("a",), ("b",)]]
    table = segments([[[300], [300], [300] * 3, [300]]])
    label, clip, segment = grid(2, 2, 3)
    draws = np.stack([label, clip, segment], axis=1)
    partners = LabelIndex(table, labels).partners(np.zeros(12, dtype=np.int64), draws)
    # Half of the twelve by label b, which clip 3 alone has; the others by clip 1, or clip 2's three segments.
    assert Counter(partners.tolist()) == {5: 6, 1: 3, 2: 1, 3: 1, 4: 1}


def test_a_clip_alone_in_its_class_is_heard_at_another_place() -> None:
    table = segments([[[900], [400], [400]]])
    draws = np.random.default_rng(0).random((2, 3, 4))
    index = LabelIndex(table, [[("owl",), ("dog",), ("dog",)]])
    places = place_crops(SameLabelConfig(), table, np.arange(3), draws, CROP, RATE, index)
    free = place_crops(TwoOffsetsConfig(), table, np.arange(3), draws[..., :1], CROP, RATE)
    assert places.clip[1].tolist() == [0, 2, 1]
    assert (places.start[:, 0] == free.start[:, 0]).all()
    assert places.start[0, 0] != places.start[1, 0]


def test_labels_of_a_store_lead_to_its_clips(store: ClipStore) -> None:
    index = SegmentIndex([store, store], 8000)
    table = index.table
    label_index = pickle.loads(pickle.dumps(LabelIndex(table, [store.labels()] * 2)))
    draws = np.random.default_rng(0).random((2, len(table), 4))
    places = place_crops(
        SameLabelConfig(), table, np.arange(len(table)), draws, 4000, store.sample_rate_hz, label_index
    )
    labels = store.labels()
    for pair in range(len(table)):
        (one, other) = zip(*(part[:, pair].tolist() for part in (places.store, places.clip)), strict=True)
        assert one != other
        assert labels[one[1]] == labels[other[1]]
    assert {0, 1} == set(places.store[1].tolist())


@pytest.mark.parametrize(
    ("labels", "lack"),
    [
        ([[(), ()], [()]], "none of the 3 pretraining clips has any"),
        ([[("a",), ("b", "b")], [()]], "no two of the 3 pretraining clips share one"),
    ],
)
def test_clips_that_share_no_label_are_refused(labels: list[list[tuple[str, ...]]], lack: str) -> None:
    table = segments([[[300], [300]], [[300]]])
    with pytest.raises(UserError, match=f"crops.positives.name=same_label.*{lack}.*two_offsets"):
        LabelIndex(table, labels)


def test_draws_of_another_shape_are_refused() -> None:
    table = segments([[[300], [300]]])
    with pytest.raises(ValueError, match=r"neighbours takes draws \(V, 2, 2\), not \(2, 2, 1\)"):
        place_crops(NeighboursConfig(), table, np.arange(2), np.zeros((2, 2, 1)), CROP, RATE)


def test_same_label_without_an_index_is_refused() -> None:
    table = segments([[[300], [300]]])
    with pytest.raises(ValueError, match="LabelIndex"):
        place_crops(SameLabelConfig(), table, np.arange(2), np.zeros((2, 2, 4)), CROP, RATE)


def test_a_name_chooses_and_foreign_or_wrong_keys_are_refused() -> None:
    adapter: TypeAdapter[PositivesConfig] = TypeAdapter(PositivesConfig)
    for config in CONFIGS:
        assert adapter.validate_python(config.model_dump()) == config
    assert adapter.validate_python({"name": "neighbours"}) == NeighboursConfig(max_seconds_apart=2.0)
    for wrong in (
        {"name": "two_offset"},
        {"name": "same_crop", "max_seconds_apart": 1.0},
        {"name": "neighbours", "max_seconds_apart": 0},
        {"name": "neighbours", "max_seconds_apart": float("inf")},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
