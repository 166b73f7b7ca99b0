"""Clips -> crops: which clips a training step uses, and where in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator

from echopair.lazy import np, torch
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.positives import (
    ApartConfig,
    LabelIndex,
    Places,
    PositivesConfig,
    TwoOffsetsConfig,
    place_crops,
)
from echopair.pipeline.training.recordings import recordings_of
from echopair.pipeline.training.seeding import Stream, numpy_generator, view_seeds
from echopair.pipeline.training.segments import SegmentIndex, SegmentOrder
from echopair.pipeline.training.share import Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.augment.policy import Policy
    from echopair.pipeline.log_mel_clips import LogMelClips
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
    recordings_apart: bool = Field(
        False,
        description="no step has two segments that are cut from one recording, or copies of one sound: "
        "they would be negatives",
    )
    log_mel_of: Literal["crop", "clip"] = Field(
        "crop",
        description="clip: the log-mels of whole clips are computed once, and crops are cut from them, which saves "
        "time; not with augmentations of waveforms",
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
        waveforms: (V, N, L) float32; the views of pair n lie at [:, n]. Augmented as far as waveforms are. None if the
            log-mels are there.
        chosen: (V, N, K) bool: which of the policy's augmentations each view gets, those of log-mels included.
        clips: (N,) int64: the clip of the first view of each pair, counted over all stores.
        segments: (N,) int64: the segment of each pair, counted over all stores.
        starts: (V, N) int64: first sample of each crop in its clip; a log-mel begins with the frame that holds it.
        labels: (N, C) bool: which of the labels of all stores each of these clips has; None unless asked for.
        recordings: (N,) int64: the recording that each of these clips is cut from; None unless asked for.
        log_mels: (V, N, T, F) float16, cut from those of the clips; None unless `log_mel_of` is "clip".
        rows: (V, M) int64: which pairs waveforms or log-mels are of, then M in place of N, see `Share.rows`; None for
            all.
    """

    step: int
    waveforms: torch.Tensor | None
    chosen: torch.Tensor
    clips: torch.Tensor
    segments: torch.Tensor
    starts: torch.Tensor
    labels: torch.Tensor | None = None
    recordings: torch.Tensor | None = None
    log_mels: torch.Tensor | None = None
    rows: torch.Tensor | None = None


class PairCrops:
    """The crops of every training step, as a pure function of the step.

    Args:
        stores: clips to pretrain on.
        config: crops and positives.
        policy: decides how each view is augmented, and augments the waveforms.
        pairs: N, pairs per step; where there are fewer segments, or recordings that are kept apart, one of each.
        seed: of the run.
        with_labels: give each batch the labels of its clips; otherwise labels are used for positives alone.
        with_recordings: give each batch the recordings of its clips.
        share: of this process, if several train together.

    Raises:
        UserError: labels are needed, and no two clips share one; or one segment, which has no other to be told from,
            or one recording where recordings matter.
        ValueError: `log_mel_of` is "clip", and a store has no log-mels.

    Attributes:
        left_out: which clips are too short to be used, as a message; empty if none are.
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
        with_recordings: bool = False,
        share: Share | None = None,
    ) -> None:
        self.stores = list(stores)
        self.config = config
        self.policy = policy
        self.seed = seed
        self.share = share
        rate = stores[0].sample_rate_hz
        self.crop_samples = round(config.crop_seconds * rate)
        least_samples = 0
        if isinstance(config.positives, ApartConfig):
            least_samples = config.positives.least_samples(config.views, self.crop_samples, rate)
        segment_samples = max(self.crop_samples, least_samples, round(config.segment_seconds * rate))
        self.segments = SegmentIndex(stores, segment_samples, least_samples)
        self.left_out = ""
        if self.segments.left_out:
            self.left_out = (
                f"{self.segments.left_out} of {sum(map(len, stores))} pretraining clips are left out: without the "
                f"digital silence at their ends they are shorter than the {least_samples / rate:g} s that "
                f"{config.views} crops take with crops.positives.name={config.positives.name}"
            )
        if len(self.segments) < 2 and self.left_out:
            raise UserError(
                f"{self.left_out}; lower crops.crop_seconds={config.crop_seconds:g}, crops.views or "
                "crops.positives.min_seconds_between, or add longer recordings"
            )
        if len(self.segments) < 2:
            raise UserError(
                f"the pretraining clips have {len(self.segments)} segment, and pairs of at least two are compared; add "
                "recordings, or lower crops.segment_seconds for a long one"
            )
        reads_recordings = with_recordings or config.recordings_apart
        self._recordings = recordings_of(self.stores)[self.segments.clips] if reads_recordings else None
        kept_apart = self._recordings if config.recordings_apart else None
        self.order = SegmentOrder(len(self.segments), pairs, seed, kept_apart)
        self._log_mel_clips: list[LogMelClips] = []
        if config.log_mel_of == "clip":
            self._log_mel_clips = [_log_mels_of(store) for store in self.stores]
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
    def pairs(self) -> int:
        """N, pairs of each step."""
        return self.order.pairs

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, see `SegmentOrder`."""
        return self.order.steps_per_epoch

    def segments_of(self, step: int) -> NDArray[np.int64]:
        """Numbers of the N segments of a step, all different."""
        return self.order.segments_of(step)

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
        shape = (self.config.views, self.pairs)
        chosen = self.policy.choose(
            numpy_generator(self.seed, step, Stream.CHOICE_OF_AUGMENTATIONS), shape
        )  # (V, N, K)
        rows = None if self.share is None else self.share.rows(self.policy, chosen, self.seed, step)
        pairs = np.broadcast_to(np.arange(self.pairs), shape) if rows is None else rows  # (V, M)
        segments = self.segments_of(step)  # (N,)
        clips = self.segments.clips[segments]
        labels = None if self._label_matrix is None else torch.from_numpy(self._label_matrix[clips])
        recordings = None if self._recordings is None else torch.from_numpy(self._recordings[segments])
        whole_clips = self.config.log_mel_of == "clip"
        return CropBatch(
            step,
            None if whole_clips else torch.from_numpy(self._waveforms(step, places, chosen, pairs)),
            torch.from_numpy(chosen),
            torch.from_numpy(clips),
            torch.from_numpy(segments),
            torch.from_numpy(places.start),
            labels,
            recordings,
            torch.from_numpy(self._log_mels(places, pairs)) if whole_clips else None,
            None if rows is None else torch.from_numpy(rows),
        )

    def _waveforms(
        self, step: int, places: Places, chosen: NDArray[np.bool_], pairs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Crops (V, M, L) of pairs (V, M), augmented."""
        waveforms = np.empty((*pairs.shape, self.crop_samples), dtype=np.float32)
        for place, pair in np.ndenumerate(pairs):
            source = place[0], pair
            store = self.stores[places.store[source]]
            store.read_into(waveforms[place], int(places.clip[source]), int(places.start[source]))
        if self.policy.waveform:
            seeds = view_seeds(self.seed, step, Stream.WAVEFORM_AUGMENTATION, chosen.shape)
            try:
                for place, pair in np.ndenumerate(pairs):
                    waveforms[place], _ = self.policy.augment_waveform(
                        waveforms[place], chosen[place[0], pair], seeds[place[0], pair]
                    )
            except ValueError as error:  # a sound of the user's that is damaged behind its header
                raise UserError(f"augment.policy: {error}") from error
        return waveforms

    def _log_mels(self, places: Places, pairs: NDArray[np.int64]) -> NDArray[np.float16]:
        """Crops (V, M, T, F) of the clips' log-mels; each begins on the frame that holds its start."""
        first = self._log_mel_clips[0]
        frames = max(1, self.crop_samples // first.hop_samples)
        log_mels = np.empty((*pairs.shape, frames, first.mel_bands), dtype=np.float16)
        for place, pair in np.ndenumerate(pairs):
            source = place[0], pair
            clips = self._log_mel_clips[places.store[source]]
            start = int(places.start[source]) // first.hop_samples
            clips.read_into(log_mels[place], int(places.clip[source]), start)
        return log_mels


def _log_mels_of(store: ClipStore) -> LogMelClips:
    if store.log_mels is None:
        raise ValueError(f"crops.log_mel_of=clip: the store {store.folder} has no log-mels; set `log_mels`")
    return store.log_mels


def _label_matrix(stores: Sequence[ClipStore]) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The C labels of all stores, and (clips, C): which each clip has; labels are compared by name."""
    from sklearn.preprocessing import MultiLabelBinarizer

    binarizer = MultiLabelBinarizer()
    matrix = binarizer.fit_transform([names for store in stores for names in store.labels()]).astype(bool)
    if matrix.sum(0).max(initial=0) < 2:
        raise UserError(
            f"the objective learns from labels, and no two of the {len(matrix)} pretraining clips share one; name "
            "corpora with labels in pretrain.corpora, label these, or set another objective.name"
        )
    return tuple(binarizer.classes_), matrix
