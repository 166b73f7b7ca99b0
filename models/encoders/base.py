"""What every encoder shares: the check of its input and the type of its output."""

from torch import Tensor, nn

from echopair.models.encoders.configs import AnyEncoderConfig, check_input


class Encoder(nn.Module):
    """A network from log-mels to a feature map, pooled to embeddings; subclasses implement `convolve` and `pool`.

    Args:
        config: of the encoder.

    Attributes:
        embedding_dim: D, the width of the embedding, which methods learn with.
        feature_channels: C, the channels of the feature map; None for a network that gives no such map.
    """

    embedding_dim: int
    feature_channels: int | None

    def __init__(self, config: AnyEncoderConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def readout_dim(self) -> int:
        """R, the width of the readout."""
        return self.embedding_dim

    def forward(self, log_mel: Tensor) -> Tensor:
        """Embed log-mels.

        Args:
            log_mel: (B, 1, F, T), floating point.

        Returns:
            (B, D), in the dtype of `log_mel` even under autocast.

        Raises:
            ValueError: not one channel of floats, or too few mel bands or frames.
        """
        self._check(log_mel)
        return self.encode(_as_channels_last(log_mel)).to(log_mel.dtype)  # (B, D)

    def readout(self, log_mel: Tensor) -> Tensor:
        """What embeddings of recordings are made of, once the encoder has learned; see `forward`.

        Returns:
            (B, R), in the dtype of `log_mel` even under autocast.
        """
        self._check(log_mel)
        return self.encode_readout(_as_channels_last(log_mel)).to(log_mel.dtype)  # (B, R)

    def features(self, log_mel: Tensor) -> Tensor:
        """The feature map before pooling, which `pool` turns into the embedding; see `feature_channels`.

        Args:
            log_mel: as of `forward`.

        Returns:
            (B, C, F', T'), in the dtype of the computation.

        Raises:
            ValueError: see `forward`.
        """
        self._check(log_mel)
        return self.convolve(_as_channels_last(log_mel))

    def encode(self, log_mel: Tensor) -> Tensor:
        """Embed checked log-mels (B, 1, F, T) as (B, D)."""
        return self.pool(self.convolve(log_mel))

    def encode_readout(self, log_mel: Tensor) -> Tensor:
        """The readout (B, R) of checked log-mels (B, 1, F, T)."""
        return self.encode(log_mel)

    def convolve(self, log_mel: Tensor) -> Tensor:
        """The feature map (B, C, F', T') of checked log-mels (B, 1, F, T)."""
        raise NotImplementedError

    def pool(self, features: Tensor) -> Tensor:
        """Embed a feature map (B, C, F', T') as (B, D)."""
        raise NotImplementedError

    def _check(self, log_mel: Tensor) -> None:
        if log_mel.ndim != 4 or log_mel.shape[1] != 1 or not log_mel.is_floating_point():
            raise ValueError(
                f"log_mel is {log_mel.dtype} of shape {tuple(log_mel.shape)}: "
                "an encoder takes floats of shape (batch, 1, mel bands, frames)"
            )
        check_input(self.config, *log_mel.shape[2:])


def _as_channels_last(log_mel: Tensor) -> Tensor:
    # With one channel both layouts are the same memory, but torch reads the strides and would run the first
    # layers contiguous, converting later. The view costs nothing and keeps all layers channels_last.
    return log_mel.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)  # (B, 1, F, T)
