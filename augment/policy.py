"""Which augmentations make a view, and in which order: chosen by name, scaled by one strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, model_validator

from echopair.augment.augmentation import AugmentationConfig
from echopair.augment.choice import ORDER, AugmentationChoice
from echopair.augment.learned_policy import LearnedConfig
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.spectrogram.augmentation import Part, SpectrogramAugmentation, SpectrogramConfig
from echopair.augment.spectrogram.frequency_mask import FrequencyMaskConfig
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.mix_back import MixBackConfig
from echopair.augment.spectrogram.mixing import Mixing
from echopair.augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from echopair.augment.spectrogram.tilt import TiltConfig
from echopair.augment.spectrogram.time_mask import TimeMaskConfig
from echopair.augment.strength import MAX_STRENGTH, Strength
from echopair.augment.waveform.augmentation import Waveform, WaveformAugmentation, WaveformConfig
from echopair.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the order of the physical processes: sources mix (their energies still untouched), the mixture is
# shifted and stretched, the microphone sets level and slope over fixed bands; the masks come last, so that
# no other augmentation moves or tilts what they hide.
DEFAULT_AUGMENTATIONS: tuple[AugmentationChoice, ...] = (
    MixBackConfig(),
    RandomResizedCropConfig(),
    GainConfig(),
    TiltConfig(),
    FrequencyMaskConfig(),
    TimeMaskConfig(),
)
# Every augmentation of log-mels that needs nothing from the user.
DEFAULT_POOL: tuple[AugmentationChoice, ...] = tuple(config() for config in get_args(SpectrogramChoice))


class AllConfig(BaseModel, frozen=True, extra="forbid"):
    """Applies every listed augmentation to every view, as SimCLR (Chen et al. 2020, section 3)."""

    name: Literal["all"] = "all"
    augmentations: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_AUGMENTATIONS,
        description=f"augmentations to apply, first to last; an empty list leaves crops unchanged; {ORDER}",
    )


class RandomConfig(BaseModel, frozen=True, extra="forbid"):
    """Draws a number of augmentations from a pool for each view; RandAugment (Cubuk et al. 2020) on sound.

    RandAugment's magnitude is the strength.
    """

    name: Literal["random"] = "random"
    operations: int = Field(
        2,
        ge=1,
        le=100,
        description="augmentations drawn per view, N of RandAugment; each is then applied with its probability",
    )
    pool: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_POOL, min_length=1, description=f"augmentations to draw from; {ORDER}"
    )

    @model_validator(mode="after")
    def _pool_is_large_enough(self) -> Self:
        if self.operations > len(self.pool):
            raise ValueError(
                f"operations={self.operations} is more than the pool's {len(self.pool)}; lower it or add to the pool"
            )
        return self


class StackedConfig(RandomConfig, frozen=True, extra="forbid"):
    """Draws from a pool, then applies a fixed chain; the stacked RandAugment of Tian et al. 2020 (What makes for good
    views for contrastive learning), section 5."""

    name: Literal["stacked"] = "stacked"  # type: ignore[assignment]
    augmentations: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_AUGMENTATIONS, description="the fixed chain that follows, first to last"
    )


PolicyConfig = Annotated[
    AllConfig | RandomConfig | StackedConfig | LearnedConfig, Field(discriminator="name")
]


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How views are made from crops."""

    strength: Strength = 1.0
    policy: PolicyConfig = AllConfig()


class Policy:
    """Makes views: chooses the augmentations of each view and applies them in the policy's order.

    Args:
        augmentations: config and strength of each.
        sample_rate_hz: of the crops.
        pool: number of augmentations, the first ones, that form a pool of which each view gets `operations`.
        operations: see `pool`.
    """

    def __init__(
        self,
        augmentations: Sequence[tuple[AugmentationConfig, float]],
        sample_rate_hz: int,
        pool: int = 0,
        operations: int = 0,
    ) -> None:
        self.names = tuple(config.name for config, _ in augmentations)
        self._pool, self._operations = pool, operations
        self._shares = np.array([config.share_of_views(strength) for config, strength in augmentations])
        self.waveform: dict[int, WaveformAugmentation] = {
            column: config.build(strength, sample_rate_hz)
            for column, (config, strength) in enumerate(augmentations)
            if isinstance(config, WaveformConfig) and strength > 0
        }
        self.spectrogram: dict[int, SpectrogramAugmentation[Any]] = {
            column: config.build(strength)
            for column, (config, strength) in enumerate(augmentations)
            if isinstance(config, SpectrogramConfig) and strength > 0
        }

    def choose(self, generator: np.random.Generator, views: tuple[int, ...]) -> NDArray[np.bool_]:
        """Choose the augmentations of each view.

        Args:
            generator: source of the choice.
            views: shape of the views, as (V, N).

        Returns:
            (*views, K) bool, in the order of `names`.
        """
        # The same number of draws per view and augmentation for every policy.
        draws = generator.random((2, *views, len(self.names)))
        chosen: NDArray[np.bool_] = draws[0] < self._shares
        ranks = draws[1][..., : self._pool].argsort(axis=-1).argsort(axis=-1)
        chosen[..., : self._pool] &= ranks < self._operations
        return chosen

    def varying(self) -> tuple[str, ...]:
        """Names of the augmentations that some views get and others do not, each once."""
        shares = self._shares.copy()
        shares[: self._pool] *= self._operations / max(1, self._pool)
        always = {name for name, share in zip(self.names, shares, strict=True) if share >= 1}
        sometimes = [name for name, share in zip(self.names, shares, strict=True) if 0 < share < 1]
        return tuple(name for name in dict.fromkeys(sometimes) if name not in always)

    def augment_waveform(
        self, waveform: Waveform, chosen: NDArray[np.bool_], seeds: NDArray[np.uint32]
    ) -> tuple[Waveform, list[tuple[str, dict[str, Any]]]]:
        """Apply the chosen augmentations of waveforms to one crop.

        Args:
            waveform: (L,) float32; never changed.
            chosen: (K,) bool, of `choose`.
            seeds: (K,), one per augmentation, so that leaving one out changes no other.

        Returns:
            (L,) float32, `waveform` itself where no augmentation is chosen; and what was applied: names and numbers.
        """
        applied = []
        for column, augmentation in self.waveform.items():
            if chosen[column]:
                waveform, numbers = augmentation(waveform, int(seeds[column]))
                applied.append((augmentation.name, numbers))
        return waveform, applied

    def rows_for(
        self,
        rows: NDArray[np.int64],
        shape: tuple[int, int],
        chosen: NDArray[np.bool_],
        generator: torch.Generator,
    ) -> NDArray[np.int64]:
        """The rows of a batch that are needed to augment some of its log-mels: these, and those mixed into them.

        Args:
            rows: to augment.
            shape: F and T.
            chosen: (B, K) bool, of the whole batch.
            generator: on the CPU, in the state that `augment_log_mels` gets.

        Returns:
            First `rows`, then the others.
        """
        needed = np.zeros(len(chosen), dtype=bool)
        needed[rows] = True
        mixing = [column for column, one in self.spectrogram.items() if isinstance(one, Mixing)]
        whole = torch.empty(()).expand(len(chosen), *shape)
        drawn = {
            column: one.draw(whole, generator)
            for column, one in self.spectrogram.items()
            if column <= max(mixing, default=-1)
        }
        for column in reversed(mixing):  # what is mixed in later is what is left of earlier ones
            needed[drawn[column].partner.numpy()[needed & chosen[:, column]]] = True
        needed[rows] = False
        return np.concatenate([rows, np.flatnonzero(needed)])

    def augment_log_mels(
        self,
        log_mel: torch.Tensor,
        chosen: NDArray[np.bool_],
        generator: torch.Generator,
        part: Part | None = None,
    ) -> tuple[torch.Tensor, list[tuple[str, torch.Tensor, Any]]]:
        """Apply the chosen augmentations of log-mels to one view of each clip of a batch.

        Args:
            log_mel: (B, F, T) float32, natural logarithm of mel power, not normalised; never changed. Rows are
                of different segments.
            chosen: (B, K) bool, of `choose`.
            generator: source of every parameter; on the CPU or on the device of `log_mel`.
            part: which rows of a larger batch they are; those that are only mixed into others are not to be used.

        Returns:
            (B, F, T) float32, `log_mel` itself where no augmentation is chosen; and what was applied: names, the
            examples (B,) bool, and the parameters, a dataclass of tensors whose first axis is B.

        Raises:
            ValueError: `log_mel` is not a float32 tensor of three axes, or `chosen` is of another shape.
        """
        if chosen.shape != (len(log_mel), len(self.names)):
            raise ValueError(
                f"chosen has shape {chosen.shape}; {len(log_mel)} views and {len(self.names)} augmentations need "
                f"({len(log_mel)}, {len(self.names)})"
            )
        applied = []
        view = log_mel
        for column, augmentation in self.spectrogram.items():
            examples = torch.from_numpy(chosen[:, column].copy())
            # From the second augmentation on in place: a copy costs more than most augmentations.
            in_place = view is not log_mel
            view, parameters = augmentation(view, generator, examples, in_place=in_place, part=part)
            applied.append((self.names[column], examples, parameters))
        return view, applied


def build_policy(config: AugmentConfig, sample_rate_hz: int) -> Policy:
    """The policy that a config names, at its strength.

    Args:
        config: policy, augmentations and strength.
        sample_rate_hz: of the crops.

    Raises:
        ValueError: an augmentation of the list cannot be applied on this machine or at this rate.
    """
    strength = config.strength
    match config.policy:
        # Before RandomConfig, of which it is one.
        case StackedConfig(pool=pool, operations=operations, augmentations=chain):
            drawn = [(one, strength) for one in pool]
            return Policy(
                [*drawn, *((one, strength) for one in chain)], sample_rate_hz, len(pool), operations
            )
        case RandomConfig(pool=pool, operations=operations):
            return Policy([(one, strength) for one in pool], sample_rate_hz, len(pool), operations)
        case LearnedConfig(operations=learned):
            magnitudes = [min(strength * one.magnitude, MAX_STRENGTH) for one in learned.values()]
            return Policy(list(zip(config.policy.augmentations, magnitudes, strict=True)), sample_rate_hz)
        case AllConfig(augmentations=chain):
            return Policy([(one, strength) for one in chain], sample_rate_hz)


def augmentations_of(config: AugmentConfig) -> tuple[AugmentationChoice, ...]:
    """Every augmentation that a config may apply."""
    match config.policy:
        case StackedConfig(pool=pool, augmentations=chain):
            return (*pool, *chain)
        case RandomConfig(pool=pool):
            return pool
        case LearnedConfig() | AllConfig():
            return config.policy.augmentations
