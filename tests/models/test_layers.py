"""The layers of each encoder."""

import pytest

from echopair.models.encoders import (
    AnyEncoderConfig,
    CrnnConfig,
    ResNetConfig,
    SampleCnnConfig,
    TimmConfig,
    VggLikeConfig,
    build_encoder,
)
from echopair.models.encoders.layers import layers_of


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (ResNetConfig(width=8, blocks=(2, 1)), 1 + 3),
        (VggLikeConfig(width=8), 6 + 1),
        (CrnnConfig(width=8), 3 + 1),
        (SampleCnnConfig(width=8, blocks=3), 1 + 3),
        (TimmConfig(model="resnet18"), 1 + 8),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layers_hold_each_parameter_once_from_the_input_on(config: AnyEncoderConfig, layers: int) -> None:
    encoder = build_encoder(config)
    found = layers_of(encoder)
    assert len(found) == layers
    # All are in the order of the modules.
    assert [id(one) for layer in found for one in layer] == [id(one) for one in encoder.parameters()]
    assert any(one.ndim > 1 for one in found[0])
