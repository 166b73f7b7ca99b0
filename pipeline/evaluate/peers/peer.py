"""What all encoders of others share: batches of equal length, and a check of what they give."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from echopair.lazy import np, torch
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.precision import resolve_device
from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.embed import EmbedConfig

# Sound in one call, where a clip is not longer: networks of others need far more memory for it than ours.
SECONDS_AT_ONCE = 30
CHECKED_SECONDS = 1.0


class Peer(FrozenEncoder):
    """An encoder of others, tried on a short sound when it is made.

    Args:
        address: as it was given, for errors.
        name: what tables call it.
        sample_rate_hz: as the encoder states it, whatever that is.
        inputs: all that decides its embeddings, as JSON.
        embedding_dim: D as the encoder states it, or None.

    Raises:
        UserError: its rate is none, or it fails on a short sound.
    """

    def __init__(
        self, address: str, name: str, sample_rate_hz: Any, inputs: Any, embedding_dim: int | None = None
    ) -> None:
        super().__init__(name, _checked_rate(address, sample_rate_hz), inputs)
        self.address = address
        self.embedding_dim = embedding_dim
        samples = round(CHECKED_SECONDS * self.sample_rate_hz)
        self.embed(list(np.random.default_rng(0).normal(0, 0.1, (2, samples)).astype(np.float32)))

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `FrozenEncoder`.

        Raises:
            UserError: the encoder fails, or gives another shape or values that are not finite.
        """
        rows: list[Any] = [None] * len(waveforms)
        for numbers in self._batches([len(one) for one in waveforms]):
            batch = np.stack([waveforms[number] for number in numbers])
            for number, row in zip(numbers, self._checked(batch), strict=True):
                rows[number] = row
        return np.stack(rows)

    @abstractmethod
    def embed_equal(self, waveforms: NDArray[np.float32]) -> Any:
        """Embed waveforms (n, samples) of one length: (n, D), of torch or numpy; `embed` checks it."""

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of waveforms of one length, so many as may be embedded at once."""
        by_length: dict[int, list[int]] = {}
        for number, length in enumerate(lengths):
            by_length.setdefault(length, []).append(number)
        for length, numbers in by_length.items():
            at_once = max(1, SECONDS_AT_ONCE * self.sample_rate_hz // length)
            yield from (numbers[start : start + at_once] for start in range(0, len(numbers), at_once))

    def _checked(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        sounds, samples = waveforms.shape
        what = f"{sounds} x {samples / self.sample_rate_hz:.3g} s of sound"
        try:
            with torch.inference_mode():
                found = self.embed_equal(waveforms)
            found = found.float().cpu().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
        except Exception as error:  # those of others have no base of their own
            raise UserError(
                f"{self.address} fails on {what}: {type(error).__name__}: {first_line(error)}"
            ) from error
        self.embedding_dim = self.embedding_dim or (found.shape[1] if found.ndim == 2 else None)
        if found.shape != (sounds, self.embedding_dim):
            raise UserError(
                f"{self.address} gives an array of shape {found.shape} for {what}; it must be "
                f"({sounds}, {self.embedding_dim or 'D'})"
            )
        if not np.isfinite(found).all():
            raise UserError(f"{self.address} gives NaN or infinite embeddings of {what}")
        embeddings: NDArray[np.float32] = found.astype(np.float32, copy=False)
        return embeddings


def device_of(config: EmbedConfig) -> torch.device:
    """The device that is asked for.

    Raises:
        UserError: it is not there.
    """
    try:
        return resolve_device(config.device)
    except ValueError as error:
        raise UserError(f"embed.{error}") from error


def _checked_rate(address: str, rate: Any) -> int:
    try:
        return LogMelConfig(sample_rate_hz=rate).sample_rate_hz  # at which clips are prepared
    except ValidationError as error:
        raise UserError(
            f"{address}: its sample rate is {rate!r}, which is no whole number of Hz from 1,000 to 500,000"
        ) from error
