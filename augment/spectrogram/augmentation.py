"""Base classes of augmentations of log-mels: a random draw of parameters, then a deterministic use of them."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from echopair.augment.augmentation import AugmentationConfig
from echopair.augment.strength import check_strength
from echopair.lazy import torch

# A decibel is a tenth of the decimal logarithm of power; log-mels are its natural logarithm.
LOG_POWER_PER_DECIBEL = math.log(10) / 10

Parameters = TypeVar("Parameters")


class SpectrogramConfig(AugmentationConfig, ABC, frozen=True, extra="forbid"):
    """Ranges of an augmentation of log-mels at strength 1."""

    @abstractmethod
    def build(self, strength: float) -> SpectrogramAugmentation[Any]:
        """The augmentation with its ranges scaled by a strength.

        Raises:
            ValueError: the strength is not from 0 to 4.
        """


@dataclass(frozen=True)
class Part:
    """Some rows of a batch, which are augmented as the whole batch would be.

    Args:
        size: B, of the batch.
        rows: (M,) int64, which rows they are, with those that are mixed into them; see `Policy.rows_for`.
    """

    size: int
    rows: torch.Tensor


class SpectrogramAugmentation(ABC, Generic[Parameters]):
    """Changes a batch of natural-log-mel power spectrograms, each example by parameters of its own.

    Works before normalisation and on any device. The input is not changed, unless the caller allows it; at
    strength 0 it is returned itself. `Parameters` is a dataclass of tensors whose first axis is B.

    Args:
        strength: scales the configured ranges, 0 to 4; 1 keeps them.

    Raises:
        ValueError: the strength is out of range.
    """

    def __init__(self, strength: float) -> None:
        self.strength = check_strength(strength)

    @abstractmethod
    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> Parameters:
        """Draw parameters for each example of `log_mel` (B, F, T), of which only shape and device matter."""

    @abstractmethod
    def apply(self, log_mel: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """`log_mel` (B, F, T) changed by `parameters`: a new tensor of the same shape, deterministic."""

    def apply_to(self, log_mel: torch.Tensor, parameters: Parameters, rows: torch.Tensor) -> torch.Tensor:
        """`apply` to the examples `rows` (R,) of `log_mel` (B, F, T): (R, F, T)."""
        return self.apply(log_mel[rows], take(parameters, rows))

    def of_part(self, parameters: Parameters, part: Part) -> Parameters:
        """The parameters of a part of a batch, of those of the batch."""
        return take(parameters, part.rows)

    def __call__(
        self,
        log_mel: torch.Tensor,
        generator: torch.Generator,
        chosen: torch.Tensor | None = None,
        *,
        in_place: bool = False,
        part: Part | None = None,
    ) -> tuple[torch.Tensor, Parameters | None]:
        """Draw, then apply to the chosen examples.

        Parameters are drawn for every example, so that they do not depend on which examples are chosen.

        Args:
            log_mel: (B, F, T) float32, natural logarithm of mel power, every row another clip.
            generator: source of the draw; on the CPU or on the device of `log_mel`.
            chosen: (B,) bool on the CPU, the examples to change; None is all of them.
            in_place: the caller no longer needs `log_mel`: it may be overwritten and returned.
            part: which rows of a larger batch the examples are; None if they are a batch.

        Returns:
            (B, F, T) float32, `log_mel` itself where nothing changes; and the parameters of all B
            examples, None at strength 0.

        Raises:
            ValueError: `log_mel` is not a float32 tensor of three axes, or `chosen` has another length.
        """
        if log_mel.ndim != 3 or log_mel.dtype != torch.float32:
            raise ValueError(
                f"augmentations need log-mels as float32 of shape (batch, bands, frames), "
                f"not {log_mel.dtype} of shape {tuple(log_mel.shape)}"
            )
        if chosen is not None and chosen.shape != (len(log_mel),):
            raise ValueError(f"chosen has shape {tuple(chosen.shape)} for {len(log_mel)} examples")
        if self.strength == 0:
            return log_mel, None
        if part is None:
            parameters = self.draw(log_mel, generator)
        else:
            whole = log_mel[:1].expand(part.size, -1, -1)
            parameters = self.of_part(self.draw(whole, generator), part)
        if chosen is None or bool(chosen.all()):
            return self.apply(log_mel, parameters), parameters
        if not chosen.any():
            return log_mel, parameters
        rows = chosen.nonzero()[:, 0].to(log_mel.device)
        changed = self.apply_to(log_mel, parameters, rows)
        copy = log_mel.index_copy_ if in_place else log_mel.index_copy
        return copy(0, rows, changed), parameters


def take(parameters: Parameters, rows: torch.Tensor) -> Parameters:
    """The parameters of some examples: every field of the dataclass indexed by `rows`."""
    fields = dataclasses.fields(parameters)  # type: ignore[arg-type]
    return type(parameters)(*(getattr(parameters, field.name)[rows] for field in fields))


def uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """Uniform float32 numbers, drawn on the generator's device and moved to `device`.

    Args:
        low: smallest value.
        high: upper bound; equal to `low` gives exactly `low`.
        shape: shape of the result.
        generator: source of the numbers.
        device: device of the result.
    """
    shares = torch.rand(shape, generator=generator, device=generator.device).to(device)
    return shares.mul_(high - low).add_(low)


def example_mean(log_mel: torch.Tensor) -> torch.Tensor:
    """Mean of each example, (B, F, T) -> (B, 1, 1): the value that fills masks and padding.

    The papers fill with 0 in normalised spectrograms, which is the mean; here normalisation follows later.
    """
    # One axis after the other: torch would split a single long example among threads, and the last digit would
    # differ from that of the same example in a batch.
    return log_mel.mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)
