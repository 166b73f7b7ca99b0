"""Clips -> crops: which clips a training step uses, and where in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, Field, model_validator
from threadpoolctl import threadpool_limits

from echopair.lazy import np, torch
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.positives import (
    LabelIndex,
    Places,
    PositivesConfig,
    TwoOffsetsConfig,
    place_crops,
)
from echopair.pipeline.training.seeding import Stream, numpy_generator, view_seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.augment.policy import Policy
    from echopair.pipeline.store import ClipStore


class CropsConfig(BaseModel, frozen=True, extra="forbid"):
    """What a crop is, and which crops are positives of each other."""

    crop_seconds: float = Field(0.96, ge=0.1, le=60, description="length of a crop")
    positives: PositivesConfig = TwoOffsetsConfig()
    views: int = Field(2, ge=2, le=8, description="views of a clip, V; each is a positive of the others")
    segment_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="a longer clip counts as several segments of this length, each a source of pairs",
    )

    @model_validator(mode="before")
    @classmethod
    def _positives_have_a_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("positives"), str):
            raise ValueError(
                f"crops.positives is now chosen by name: crops.positives.name={values['positives']}"
            )
        return values


class CropBatch(NamedTuple):
    """The crops of one step.

    Args:
        step: of the training, from 0.
        waveforms: (V, N, L) float32; the views of pair n lie at [:, n]. Augmented as far as waveforms are.
        chosen: (V, N, K) bool: which of the policy's augmentations each view gets, those of log-mels included.
        clips: (N,) int64: the clip of the first view of each pair, counted over all stores.
        labels: (N, C) bool: which of the labels of all stores each of these clips has; None unless asked for.
    """

    step: int
    waveforms: torch.Tensor
    chosen: torch.Tensor
    clips: torch.Tensor
    labels: torch.Tensor | None = None


class SegmentIndex:
    """The segments of all clips of several stores: parts of clips, each a source of pairs; long clips have several.

    `table` (S, 4) has the store, the clip, the first sample in it and the number of samples of each, `clips` (S,)
    the clip's number over all stores.

    A recording of an hour is no single pair among clips of seconds: it is cut into segments of about
    `segment_seconds`, and an epoch visits each segment once.
    """

    def __init__(self, stores: Sequence[ClipStore], segment_samples: int) -> None:
        parts = []
        for number, store in enumerate(stores):
            counts = np.maximum(1, store.samples // segment_samples)
            clips = np.repeat(np.arange(len(store)), counts)
            within = np.arange(len(clips)) - np.repeat(np.cumsum(counts) - counts, counts)
            lengths = store.samples[clips] // counts[clips]
            parts.append(np.stack([np.full_like(clips, number), clips, within * lengths, lengths], axis=1))
        self.table: NDArray[np.int64] = np.concatenate(parts)
        first_clips = np.cumsum([0, *(len(store) for store in stores)])[:-1]
        self.clips: NDArray[np.int64] = first_clips[self.table[:, 0]] + self.table[:, 1]

    def __len__(self) -> int:
        return len(self.table)


class PairCrops:
    """The crops of every training step, as a pure function of the step.

    Args:
        stores: clips to pretrain on.
        config: crops and positives.
        policy: decides how each view is augmented, and augments the waveforms.
        pairs: N, pairs per step; where there are fewer segments, each step has all of them.
        seed: of the run.
        with_labels: give each batch the labels of its clips; otherwise labels are used for positives alone.

    Raises:
        UserError: positives need labels, and there are none; or one segment, which has no other to be told from.
    """

    def __init__(
        self,
        stores: Sequence[ClipStore],
        config: CropsConfig,
        policy: Policy,
        pairs: int,
        seed: int,
        *,
        with_labels: bool = False,
    ) -> None:
        self.stores = list(stores)
        self.config = config
        self.policy = policy
        self.seed = seed
        rate = stores[0].sample_rate_hz
        self.crop_samples = round(config.crop_seconds * rate)
        self.segments = SegmentIndex(stores, max(self.crop_samples, round(config.segment_seconds * rate)))
        if len(self.segments) < 2:
            raise UserError(
                f"the pretraining clips have {len(self.segments)} segment, and pairs of at least two are compared; add "
                "recordings, or lower crops.segment_seconds for a long one"
            )
        self.pairs = min(pairs, len(self.segments))
        self._labels = (
            LabelIndex(self.segments.table, [store.labels() for store in stores])
            if config.positives.NEEDS_LABELS
            else None
        )
        self.label_names: tuple[str, ...] = ()
        self._label_matrix: NDArray[np.bool_] | None = None
        if with_labels:
            self.label_names, self._label_matrix = _label_matrix(stores)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each segment is used once; the few left over wait for the next epoch's order."""
        return len(self.segments) // self.pairs

    def segments_of(self, step: int) -> NDArray[np.int64]:
        """Numbers of the N segments of a step, all different."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = _epoch_order(self.seed, epoch, len(self.segments))
        return order[position * self.pairs : (position + 1) * self.pairs]

    def places_of(self, step: int) -> Places:
        """Where the crops of a step lie, each (V, N)."""
        # As many draws for each view and pair, whatever the lengths: a changed clip changes no other's offsets.
        generator = numpy_generator(self.seed, step, Stream.CROP_OFFSETS)
        draws = generator.random((self.config.views, self.pairs, self.config.positives.DRAWS_PER_VIEW))
        return place_crops(
            self.config.positives,
            self.segments.table,
            self.segments_of(step),
            draws,
            self.crop_samples,
            self.stores[0].sample_rate_hz,
            self._labels,
        )

    def __getitem__(self, step: int) -> CropBatch:
        places = self.places_of(step)
        waveforms = np.empty((self.config.views, self.pairs, self.crop_samples), dtype=np.float32)
        for view, pair in np.ndindex(waveforms.shape[:2]):
            store = self.stores[places.store[view, pair]]
            waveforms[view, pair] = store.read(
                int(places.clip[view, pair]), int(places.start[view, pair]), self.crop_samples
            )
        return self._augmented(step, waveforms)

    def _augmented(self, step: int, waveforms: NDArray[np.float32]) -> CropBatch:
        shape = waveforms.shape[:2]
        chosen = self.policy.choose(
            numpy_generator(self.seed, step, Stream.CHOICE_OF_AUGMENTATIONS), shape
        )  # (V, N, K)
        if self.policy.waveform:
            seeds = view_seeds(self.seed, step, Stream.WAVEFORM_AUGMENTATION, chosen.shape)
            try:
                for place in np.ndindex(shape):
                    waveforms[place], _ = self.policy.augment_waveform(
                        waveforms[place], chosen[place], seeds[place]
                    )
            except ValueError as error:  # a sound of the user's that is damaged behind its header
                raise UserError(f"augment.policy: {error}") from error
        clips = self.segments.clips[self.segments_of(step)]  # (N,)
        labels = None if self._label_matrix is None else torch.from_numpy(self._label_matrix[clips])
        return CropBatch(
            step, torch.from_numpy(waveforms), torch.from_numpy(chosen), torch.from_numpy(clips), labels
        )


def crop_batches(
    crops: PairCrops, steps: Iterable[int], workers: int, pin_memory: bool = False
) -> Iterator[CropBatch]:
    """The crops of some steps, in order; the same for any number of workers.

    Args:
        crops: by step.
        steps: which ones; may be endless.
        workers: processes that read and augment ahead; 0 does it here, when a batch is asked for.
        pin_memory: for a GPU.

    Raises:
        UserError: an augmentation cannot read a sound of the user's.
    """
    loader: torch.utils.data.DataLoader[CropBatch | UserError] = torch.utils.data.DataLoader(
        _ErrorsAsItems(crops),  # type: ignore[arg-type]
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_one_thread,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


class _ErrorsAsItems:
    """Returns a UserError as it is; raised in a worker, it would come with that worker's traceback."""

    def __init__(self, crops: PairCrops) -> None:
        self._crops = crops

    def __getitem__(self, step: int) -> CropBatch | UserError:
        try:
            return self._crops[step]
        except UserError as error:
            return error


def _one_thread(_worker: int) -> None:
    # The products of a single crop are small, and the threads of several workers wait for each other: two workers
    # were slower than one without this, and are twice as fast with it.
    threadpool_limits(1)


def _label_matrix(stores: Sequence[ClipStore]) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The C labels of all stores, and (clips, C): which each clip has; labels are compared by name."""
    from sklearn.preprocessing import MultiLabelBinarizer

    binarizer = MultiLabelBinarizer()
    matrix = binarizer.fit_transform([names for store in stores for names in store.labels()]).astype(bool)
    return tuple(binarizer.classes_), matrix


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, segments: int) -> NDArray[np.int64]:
    return numpy_generator(seed, epoch, Stream.CLIP_ORDER).permutation(segments)
