"""Positives: which crops of which clips are views of one pair, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, Field

from echopair.lazy import np
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Positives(BaseModel, frozen=True, extra="forbid"):
    """What the configs of all positives share."""

    DRAWS_PER_VIEW: ClassVar = 1
    NEEDS_LABELS: ClassVar = False


class SameCropConfig(_Positives):
    """One place of the segment for all views, which then differ by augmentation alone.

    BYOL-A (Niizumi et al., "BYOL for Audio", IJCNN 2021) learns from one crop of a clip in this way.
    """

    name: Literal["same_crop"] = "same_crop"


class TwoOffsetsConfig(_Positives):
    """Each view, two or more, at a place of its own anywhere in the segment.

    COLA (Saeed et al., "Contrastive Learning of General-Purpose Audio Representations", ICASSP 2021).
    """

    name: Literal["two_offsets"] = "two_offsets"


class NeighboursConfig(_Positives):
    """Places of one segment near each other in time: sound changes slowly.

    Uniform over all choices of places in the segment of which no two starts are further apart than
    `max_seconds_apart`; in a segment without room for that distance it is `two_offsets`. Temporal proximity as in
    Jansen et al., "Unsupervised Learning of Semantic Audio Representations" (ICASSP 2018), and in the
    single-view time-contrastive networks of Sermanet et al. (ICRA 2018).
    """

    DRAWS_PER_VIEW: ClassVar = 2  # the second one of the first view places them all
    name: Literal["neighbours"] = "neighbours"
    max_seconds_apart: float = Field(
        2.0, gt=0, le=3600, description="largest distance in seconds between the starts of any two views"
    )


class ApartConfig(_Positives):
    """Places of one segment that do not overlap; which view comes first is random.

    Uniform over all such places. Digital silence at the ends of clips is not used: it would say where a crop lies.
    Clips that are then too short for all views are left out. For `relative_position`, as the patches of Doersch et
    al., "Unsupervised Visual Representation Learning by Context Prediction" (ICCV 2015), which have a gap between
    them so that what goes on across a border does not give their position away.
    """

    name: Literal["apart"] = "apart"
    min_seconds_between: float = Field(
        0.0, ge=0, le=3600, description="least time in seconds from the end of a crop to the next one"
    )

    def least_samples(self, views: int, crop_samples: int, sample_rate_hz: int) -> int:
        """Samples that a segment must have to have room for all views."""
        return views * crop_samples + (views - 1) * round(self.min_seconds_between * sample_rate_hz)


class SameLabelConfig(_Positives):
    """The first view from the segment, every other view from another clip that shares a label with its clip.

    For methods that use labels: the positives of Khosla et al., "Supervised Contrastive Learning" (NeurIPS
    2020). Other pairs of a step may have the same label too, and a method that is given no labels (`nt_xent`)
    takes those for negatives; the fewer the classes, the more. The training uses all labels of its clips,
    so an accuracy on these clips says little about new ones.
    """

    DRAWS_PER_VIEW: ClassVar = 4  # place, label, clip, segment
    NEEDS_LABELS: ClassVar = True
    name: Literal["same_label"] = "same_label"


PositivesConfig = Annotated[
    SameCropConfig | TwoOffsetsConfig | NeighboursConfig | ApartConfig | SameLabelConfig,
    Field(discriminator="name"),
]


class Places(NamedTuple):
    """Where the crops of a step lie, each (V, N) int64: store, clip in it, first sample of the crop in the clip."""

    store: NDArray[np.int64]
    clip: NDArray[np.int64]
    start: NDArray[np.int64]


class LabelIndex:
    """The segments of other clips that share a label with a segment's clip.

    Labels are compared by name, over all stores. A clip whose labels no other clip has, or that has none, has no
    such segments.

    Args:
        table: (S, 4) segments as in `place_crops`, those of a clip one after the other, clips in order.
        labels: of each store the labels of each clip, none or several; `()` keeps a clip's labels out of it.

    Raises:
        UserError: no clip has a label, or no two clips share one.
    """

    def __init__(self, table: NDArray[np.int64], labels: Sequence[Sequence[tuple[str, ...]]]) -> None:
        of_clip = [sorted(set(names)) for store in labels for names in store]
        clips = len(of_clip)
        numbers = {name: n for n, name in enumerate(sorted({name for names in of_clip for name in names}))}
        # Below, a row is a clip and one of its labels, in the order of the clips.
        owners = np.repeat(np.arange(clips), [len(names) for names in of_clip])
        label = np.array([numbers[name] for names in of_clip for name in names], dtype=np.int64)
        by_label = np.argsort(label, kind="stable")
        clips_of_label = np.bincount(label)
        if not (clips_of_label > 1).any():
            lack = (
                f"no two of the {clips} pretraining clips share one"
                if numbers
                else f"none of the {clips} pretraining clips has any"
            )
            raise UserError(
                f"crops.positives.name=same_label needs labels, and {lack}; name corpora with labels in "
                "pretrain.corpora, label these, or set crops.positives.name=two_offsets"
            )
        shared = clips_of_label[label] > 1
        rank = np.empty_like(by_label)
        rank[by_label] = np.arange(len(by_label))

        self._members = owners[by_label]  # clips, label after label
        self._first_member = _firsts(clips_of_label)[label[shared]]
        self._others = clips_of_label[label[shared]] - 1
        self._own_member = rank[shared]
        self._labels = np.bincount(owners[shared], minlength=clips)  # of each clip, the shared ones
        self._first_label = _firsts(self._labels)
        self._clip = _firsts(np.array([len(store) for store in labels]))[table[:, 0]] + table[:, 1]
        self._segments = np.bincount(self._clip, minlength=clips)  # of each clip
        self._first_segment = _firsts(self._segments)

    def partners(self, numbers: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Segments of other clips: one of a clip's shared labels, a clip of that label, a segment of that clip.

        Each of the three is uniform, so that neither a frequent label nor a long recording prevails. Draws are
        independent: two views of a pair may get the same clip.

        Args:
            numbers: (N,) segments.
            draws: (..., N, 3) in [0, 1), for label, clip and segment.

        Returns:
            (..., N) numbers of segments; the segment itself where no other clip shares a label.
        """
        own = self._clip[numbers]
        alone = self._labels[own] == 0
        row = np.where(alone, 0, self._first_label[own] + _pick(draws[..., 0], self._labels[own]))
        member = self._first_member[row] + _pick(draws[..., 1], self._others[row])
        clip = self._members[member + (member >= self._own_member[row])]  # all but the clip itself
        segment = self._first_segment[clip] + _pick(draws[..., 2], self._segments[clip])
        return np.where(alone, numbers, segment)


def place_crops(
    config: PositivesConfig,
    table: NDArray[np.int64],
    numbers: NDArray[np.int64],
    draws: NDArray[np.float64],
    crop_samples: int,
    sample_rate_hz: int,
    labels: LabelIndex | None = None,
) -> Places:
    """Where the views of each pair lie: a pure function of its arguments, each pair's of its own draws alone.

    A clip shorter than a crop is used from its beginning.

    Args:
        config: which crops are positives.
        table: (S, 4) of each segment the store, the clip, the first sample in it and the number of samples.
        numbers: (N,) segments of the pairs.
        draws: (V, N, config.DRAWS_PER_VIEW) uniform in [0, 1); another view changes no other's draws.
        crop_samples: length of a crop.
        sample_rate_hz: of all clips.
        labels: index of the same table, for `same_label` alone.

    Returns:
        Places (V, N).

    Raises:
        ValueError: draws of another shape, `same_label` without an index, or a segment that is too short for `apart`.
    """
    views = len(draws)
    if draws.shape != (views, len(numbers), config.DRAWS_PER_VIEW):
        raise ValueError(
            f"{config.name} takes draws (V, {len(numbers)}, {config.DRAWS_PER_VIEW}), not {draws.shape}"
        )
    places, segments = draws[..., 0], np.tile(numbers, (views, 1))  # (V, N)
    if config.NEEDS_LABELS:
        if labels is None:
            raise ValueError(f"{config.name} needs the LabelIndex of the segments")
        segments[1:] = labels.partners(numbers, draws[1:, :, 1:])
    store, clip, first, samples = np.moveaxis(table[segments], -1, 0)  # each (V, N)
    room = np.maximum(0, samples - crop_samples)  # how far a crop may move
    match config:
        case SameCropConfig():
            offsets = _pick(places[:1], room + 1)
        case TwoOffsetsConfig() | SameLabelConfig():
            offsets = _pick(places, room + 1)
        case NeighboursConfig(max_seconds_apart=seconds):
            offsets = _near_each_other(places, draws[0, :, 1], room[0], round(seconds * sample_rate_hz))
        case ApartConfig(min_seconds_between=seconds):
            between = round(seconds * sample_rate_hz)
            free = samples - config.least_samples(views, crop_samples, sample_rate_hz)
            if (free < 0).any():
                raise ValueError(f"{views} crops of {crop_samples} samples do not fit apart in every segment")
            order = places.argsort(0, kind="stable").argsort(0)  # 0 for the view that comes first
            offsets = _pick(places, free + 1) + order * (crop_samples + between)
    return Places(store, clip, first + offsets)


def _near_each_other(
    places: NDArray[np.float64], shared: NDArray[np.float64], room: NDArray[np.int64], max_apart: int
) -> NDArray[np.int64]:
    """Offsets (V, N) from 0 to `room` (N,), uniform over those of which no two are over `max_apart` apart.

    Of all allowed choices, a share of `width / (V * free + width)` lies in the last `width` samples, where each
    view is free; in the others one of the V views is the earliest, anywhere before, and the rest follow within
    `width`. `shared` (N,) draws which and where, `places` (V, N) the rest. Exact but for the rounding to samples.
    """
    views = len(places)
    width = np.minimum(max_apart, room)
    free = room - width
    drawn = _pick(shared, views * free + width + 1)
    earliest, before = np.divmod(drawn, np.maximum(free, 1))
    is_last = drawn >= views * free
    offsets = np.where(is_last, free, before) + _pick(places, width + 1)
    is_earliest = (np.arange(views)[:, None] == earliest) & ~is_last
    return np.where(is_earliest, before, offsets)


def _pick(draws: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """One of 0 to number - 1 for each draw in [0, 1)."""
    return (draws * number).astype(np.int64)


def _firsts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of several runs begins that lie one after the other."""
    return np.cumsum(sizes) - sizes
