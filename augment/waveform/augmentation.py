"""Base classes of augmentations of waveforms: transforms of audiomentations with a seed per call."""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from echopair.augment.augmentation import AugmentationConfig
from echopair.augment.strength import check_strength
from echopair.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Waveform: TypeAlias = "NDArray[np.float32]"

# Endings of audiomentations' parameter names, and the names with units that replace them.
PARAMETER_NAMES = {
    "cutoff_freq": "cutoff_hz",
    "center_freq": "center_hz",
    "bandwidth": "width_hz",
    "rolloff": "slope_db_per_octave",
    "f_decay": "slope_db_per_octave",
    "num_semitones": "semitones",
    "noise_std": "noise_rms",
    "desired_noise_rms": "noise_rms",
    "shift_amount": "shift_share",
    "new_sample_rate": "sample_rate_hz",
    "bitrate": "bitrate_kbps",
    "bit_depth": "depth_bits",
    "percentile_threshold": "clipped_percent",
    "temperature": "temperature_celsius",
    "humidity": "humidity_percent",
    "distance": "distance_metres",
    "t": "mask_samples",
    "t0": "start_samples",
}
# Parameters that are set, not drawn.
NOT_DRAWN = ("should_apply", "apply_a_weighting")


class Transform(Protocol):
    """The interface of audiomentations' transforms that is used here."""

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters."""

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""


class WaveformConfig(AugmentationConfig, ABC, frozen=True, extra="forbid"):
    """Ranges of an augmentation of waveforms at strength 1."""

    @abstractmethod
    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """A transform of audiomentations that always applies (p=1), its ranges scaled.

        Args:
            strength: above 0, at most 4.
            sample_rate_hz: of the crops; ranges in Hz end at half of it.
        """

    def build(self, strength: float, sample_rate_hz: int) -> WaveformAugmentation:
        """The augmentation at a strength."""
        return WaveformAugmentation(self, strength, sample_rate_hz)


class WaveformAugmentation:
    """Changes the waveform of one crop by a transform of audiomentations.

    Args:
        config: ranges at strength 1.
        strength: scales the ranges, 0 to 4; 0 changes nothing.
        sample_rate_hz: of the crops.

    Raises:
        ValueError: the strength is out of range, or `config.check` fails.
    """

    def __init__(self, config: WaveformConfig, strength: float, sample_rate_hz: int) -> None:
        self.strength = check_strength(strength)
        self.name = config.name
        self.sample_rate_hz = sample_rate_hz
        self._transform: Transform | None = None
        if strength > 0:
            config.check(sample_rate_hz)
            self._transform = config.transform(strength, sample_rate_hz)

    def __call__(self, waveform: Waveform, seed: int) -> tuple[Waveform, dict[str, Any]]:
        """Draw, then apply.

        Args:
            waveform: (L,) float32 mono crop; never changed.
            seed: 0 to 2**32 - 1; determines every draw.

        Returns:
            (L,) float32, `waveform` itself at strength 0; and the drawn numbers by name.

        Raises:
            ValueError: `waveform` is not float32 of one axis, or the result is not finite or of another length.
        """
        if waveform.ndim != 1 or waveform.dtype != np.float32:
            raise ValueError(
                f"waveform augmentations need one crop as float32 of shape (samples,), "
                f"not {waveform.dtype} of shape {waveform.shape}"
            )
        if self._transform is None:
            return waveform, {}
        with _seeded(seed):
            # A copy: several transforms work in place, or return a view of their input.
            changed = np.ascontiguousarray(
                self._transform(waveform.copy(), self.sample_rate_hz), dtype=np.float32
            )
        if changed.shape != waveform.shape or not np.isfinite(changed).all():
            raise ValueError(
                f"augmentation {self.name!r} changed a crop of shape {waveform.shape} to {changed.shape}, "
                f"{int((~np.isfinite(changed)).sum())} of them not finite; remove it from the policy"
            )
        return changed, _numbers(self._transform.serialize_parameters())


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the two global generators from which audiomentations draws, and restores their states."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _numbers(parameters: dict[str, Any]) -> dict[str, Any]:
    """The drawn numbers and texts, without the arrays that some transforms keep among their parameters."""
    readable = (bool, int, float, str, np.number)
    return {
        _with_unit(name): value.item() if isinstance(value, np.number) else value
        for name, value in parameters.items()
        if name not in NOT_DRAWN and isinstance(value, readable)
    }


def _with_unit(name: str) -> str:
    for end, with_unit in PARAMETER_NAMES.items():
        if name == end or name.endswith(f"_{end}"):
            return name.removesuffix(end) + with_unit
    return name
