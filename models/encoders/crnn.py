"""The convolutional recurrent encoder of Fonseca et al. 2021."""

from torch import Tensor, nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.configs import CrnnConfig


class Crnn(Encoder):
    """Three 5x5 convolutions, max pooled to few bands, then a GRU that reads the frames both ways.

    The embedding is the product of the two final states. The authors stack the bands left by the pooling
    (two of their 96); here their mean is used, so that any number of bands fits the same weights: with the
    default 64 exactly one is left.

    Args:
        config: width of the convolutions and of the embedding.

    Source: Fonseca et al., Unsupervised Contrastive Learning of Sound Event Representations, ICASSP 2021;
    after Cakir et al., TASLP 2017.
    """

    def __init__(self, config: CrnnConfig) -> None:
        super().__init__(config)
        self.embedding_dim = config.embedding_dim
        self.feature_channels = config.width
        layers: list[nn.Module] = []
        channels = 1
        for pooled_bands in (5, 4, 2):
            layers += [
                nn.Conv2d(channels, config.width, 5, padding=2, bias=False),
                nn.BatchNorm2d(config.width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d((pooled_bands, 2)),
            ]
            channels = config.width
        self.layers = nn.Sequential(*layers)
        self.gru = nn.GRU(config.width, config.embedding_dim, batch_first=True, bidirectional=True)

    def convolve(self, log_mel: Tensor) -> Tensor:
        features: Tensor = self.layers(log_mel)  # (B, width, F / 40, T / 8)
        return features

    def pool(self, features: Tensor) -> Tensor:
        sequence = features.mean(2).transpose(1, 2)  # (B, T / 8, width)
        _, final_states = self.gru(sequence)  # (2, B, D)
        forwards, backwards = final_states.unbind(0)
        product: Tensor = forwards * backwards  # (B, D)
        return product
