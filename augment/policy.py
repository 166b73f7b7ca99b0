"""Which augmentations make a view, and in which order: chosen by name, scaled by one strength."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from torch import Generator, Tensor

from augment.augmentation import AugmentationConfig
from augment.spectrogram import SpectrogramChoice
from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig
from augment.spectrogram.frequency_mask import FrequencyMaskConfig
from augment.spectrogram.gain import GainConfig
from augment.spectrogram.mix_back import MixBackConfig
from augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from augment.spectrogram.tilt import TiltConfig
from augment.spectrogram.time_mask import TimeMaskConfig
from augment.strength import MAX_STRENGTH, Strength
from augment.waveform import WaveformChoice
from augment.waveform.augmentation import Waveform, WaveformAugmentation, WaveformConfig


def _with_default_ranges(value: Any) -> Any:
    """A bare name in a list stands for that augmentation with its default ranges."""
    return {"name": value} if isinstance(value, str) else value


AugmentationChoice = Annotated[
    Annotated[WaveformChoice | SpectrogramChoice, Field(discriminator="name")],
    BeforeValidator(_with_default_ranges),
]
ORDER = "those of waveforms come before those of log-mels, whatever the order of the list"

# In the order in which sound meets the world: sources mix (their energies still untouched), the mixture is
# shifted and stretched, the microphone sets level and slope over fixed bands; the masks come last, so that
# nothing moves or tilts what they hide.
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


CHOICE: TypeAdapter[AugmentationChoice] = TypeAdapter(AugmentationChoice)


class AllConfig(BaseModel, frozen=True, extra="forbid"):
    """Every listed augmentation for every view, as SimCLR (Chen et al. 2020, section 3)."""

    name: Literal["all"] = "all"
    augmentations: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_AUGMENTATIONS,
        description=f"what is applied, first to last; an empty list leaves crops as they are; {ORDER}",
    )


class RandomConfig(BaseModel, frozen=True, extra="forbid"):
    """So many of a pool for each view, drawn anew for each; RandAugment (Cubuk et al. 2020) on sound.

    RandAugment's magnitude is the strength.
    """

    name: Literal["random"] = "random"
    operations: int = Field(
        2,
        ge=1,
        le=100,
        description="augmentations drawn for a view, N of RandAugment; each then has its probability",
    )
    pool: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_POOL, min_length=1, description=f"what is drawn from; {ORDER}"
    )

    @model_validator(mode="after")
    def _pool_is_large_enough(self) -> Self:
        if self.operations > len(self.pool):
            raise ValueError(
                f"operations={self.operations} is more than the pool's {len(self.pool)}; lower it or add to the pool"
            )
        return self


class StackedConfig(RandomConfig, frozen=True, extra="forbid"):
    """So many of a pool, then a fixed chain; the stacked RandAugment of Tian et al. 2020 (What makes for good
    views for contrastive learning), section 5."""

    name: Literal["stacked"] = "stacked"  # type: ignore[assignment]
    augmentations: tuple[AugmentationChoice, ...] = Field(
        DEFAULT_AUGMENTATIONS, description="the fixed chain that follows, first to last"
    )


class LearnedOperation(BaseModel, frozen=True, extra="forbid"):
    """How often and how strongly a learned policy applies one augmentation."""

    probability: float | None = Field(
        None, ge=0, le=1, description="the augmentation's own probability; without it, its default"
    )
    magnitude: float = Field(
        1.0, ge=0, le=MAX_STRENGTH, description="multiplies the strength for this augmentation, up to 4"
    )
    ranges: dict[str, Any] = Field({}, description="keys of the augmentation that differ from its defaults")


def _as_mappings(operations: Any, where: str) -> dict[str, dict[str, Any]]:
    """Operations by name, each a mapping; an empty one may be left out in YAML."""
    if not isinstance(operations, dict):
        raise ValueError(f"{where}operations must be a line for each augmentation, not {operations!r}")
    for name, operation in operations.items():
        if not isinstance(operation, dict | None | LearnedOperation):
            raise ValueError(
                f"{where}operations.{name}={operation!r}: write operations.{name}: {{magnitude: 1}}"
            )
    return {name: dict(operation or {}) for name, operation in operations.items()}


class LearnedConfig(BaseModel, frozen=True, extra="forbid"):
    """A probability and a magnitude for each augmentation, from a YAML file or keys that a sweep searches.

    AutoAugment (Cubuk et al. 2019) searches these two for each operation; here each is decided by itself and
    not in pairs.
    """

    name: Literal["learned"] = "learned"
    operations: dict[str, LearnedOperation] = Field(
        min_length=1,
        description=f"probability, magnitude and ranges by name of the augmentation, first to last; {ORDER}",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, values: Any) -> Any:
        """`file`: a YAML file with `operations`. Its content becomes the config's, which then stands alone."""
        if not isinstance(values, dict) or "file" not in values:
            return values
        import yaml

        values = dict(values)
        file = Path(str(values.pop("file"))).expanduser()
        try:
            read = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise ValueError(f"file={file} cannot be read as YAML: {reason}") from error
        if (
            not isinstance(read, dict)
            or set(read) != {"operations"}
            or not isinstance(read["operations"], dict)
        ):
            raise ValueError(
                f"file={file} must hold one key, `operations:`, and below it a line for each augmentation, as "
                "`tilt: {probability: 0.5, magnitude: 1.2}`"
            )
        operations = _as_mappings(read["operations"], f"file={file}: ")
        for name, operation in _as_mappings(values.get("operations") or {}, "").items():
            operations[name] = {**operations.get(name, {}), **operation}
        return values | {"operations": operations}

    @model_validator(mode="after")
    def _ranges_are_valid(self) -> Self:
        _ = self.augmentations
        return self

    @property
    def augmentations(self) -> tuple[AugmentationChoice, ...]:
        """The augmentations with their ranges, in order.

        Raises:
            ValueError: an unknown name or an invalid range.
        """
        found = []
        for name, operation in self.operations.items():
            for key in ("name", "probability"):
                if key in operation.ranges:
                    raise ValueError(
                        f"operations.{name}.ranges.{key} is no range: write operations.{name}.{key}"
                    )
            values = {**operation.ranges, "name": name}
            if operation.probability is not None:
                values["probability"] = operation.probability
            try:
                found.append(CHOICE.validate_python(values))
            except ValidationError as error:
                problem = error.errors()[0]
                key = ".".join(
                    [
                        "operations",
                        name,
                        *(["ranges", *map(str, problem["loc"][1:])] if problem["loc"] else []),
                    ]
                )
                raise ValueError(f"{key}: {problem['msg'].removeprefix('Value error, ')}") from error
        return tuple(found)


PolicyConfig = Annotated[
    AllConfig | RandomConfig | StackedConfig | LearnedConfig, Field(discriminator="name")
]


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How views are made from crops."""

    strength: Strength = 1.0
    policy: PolicyConfig = AllConfig()


class Policy:
    """Makes views: decides which augmentations each gets, then applies them in the policy's order.

    Args:
        augmentations: with the strength of each.
        sample_rate_hz: of the crops.
        pool: how many of the augmentations, the first ones, are a pool of which each view gets `operations`.
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
        """Which augmentations each view gets.

        Args:
            generator: decides it.
            views: shape of the views, as (V, N).

        Returns:
            (*views, K) bool, in the order of `names`.
        """
        # The same number of draws for each view and augmentation, whatever the policy makes of it.
        draws = generator.random((2, *views, len(self.names)))
        chosen: NDArray[np.bool_] = draws[0] < self._shares
        ranks = draws[1][..., : self._pool].argsort(axis=-1).argsort(axis=-1)
        chosen[..., : self._pool] &= ranks < self._operations
        return chosen

    def augment_waveform(
        self, waveform: Waveform, chosen: NDArray[np.bool_], seeds: NDArray[np.uint32]
    ) -> tuple[Waveform, list[tuple[str, dict[str, Any]]]]:
        """One crop, changed by the chosen augmentations of waveforms.

        Args:
            waveform: (L,) float32; never changed.
            chosen: (K,) bool, of `choose`.
            seeds: (K,), one for each augmentation, so that one left out changes no other.

        Returns:
            (L,) float32, `waveform` itself where there is nothing to do; and what was applied: names and numbers.
        """
        applied = []
        for column, augmentation in self.waveform.items():
            if chosen[column]:
                waveform, numbers = augmentation(waveform, int(seeds[column]))
                applied.append((augmentation.name, numbers))
        return waveform, applied

    def augment_log_mels(
        self, log_mel: Tensor, chosen: NDArray[np.bool_], generator: Generator
    ) -> tuple[Tensor, list[tuple[str, Tensor, Any]]]:
        """One view of each clip of a batch, changed by the chosen augmentations of log-mels.

        Args:
            log_mel: (B, F, T) float32, natural logarithm of mel power, not normalised; never changed. Rows are
                of different segments.
            chosen: (B, K) bool, of `choose`.
            generator: decides every parameter; on the CPU or on the device of `log_mel`.

        Returns:
            (B, F, T) float32, `log_mel` itself where there is nothing to do; and what was applied: names, the
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
            # What is not the caller's any more is changed in place: copies would cost more than the changes.
            view, parameters = augmentation(view, generator, examples, in_place=view is not log_mel)
            applied.append((self.names[column], examples, parameters))
        return view, applied


def build_policy(config: AugmentConfig, sample_rate_hz: int) -> Policy:
    """The policy that a config names, at its strength.

    Args:
        config: policy, augmentations and strength.
        sample_rate_hz: of the crops.

    Raises:
        ValueError: an augmentation of the list cannot be had on this machine.
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
