import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from echopair.models.encoders import (
    CrnnConfig,
    EncoderConfig,
    ResNetConfig,
    TimmConfig,
    VggLikeConfig,
    build_encoder,
)
from echopair.models.encoders.base import Encoder
from echopair.models.encoders.resnet import BasicBlock

CONFIGS: dict[str, EncoderConfig] = {
    "resnet fine": ResNetConfig(width=8, stem="fine", blocks=(1, 1, 1, 1)),
    "resnet strided": ResNetConfig(width=8, stem="strided", blocks=(1, 1, 1, 1)),
    "resnet patch": ResNetConfig(width=8, stem="patch", blocks=(1, 1, 1, 1)),
    "resnet coarse": ResNetConfig(width=8, stem="coarse", blocks=(1, 1, 1, 1)),
    "vgg_like": VggLikeConfig(width=8, embedding_dim=32),
    "crnn": CrnnConfig(width=16, embedding_dim=16),
    "timm": TimmConfig(model="test_resnet"),
}
every_encoder = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # These tensors are too small to share out: threads that wait for each other are slower than one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded_encoder(config: EncoderConfig, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return build_encoder(config)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@every_encoder
@pytest.mark.parametrize("frames", [96, 97, 500, 6000])
def test_embeds_any_length(config: EncoderConfig, frames: int) -> None:
    encoder = seeded_encoder(config).eval()
    with torch.no_grad():
        embedding = encoder(noise(2, 1, 64, frames))
    assert embedding.shape == (2, encoder.embedding_dim)
    assert embedding.isfinite().all()


@pytest.mark.parametrize(
    ("config", "embedding_dim"),
    [
        (ResNetConfig(), 512),
        (ResNetConfig(width=16, blocks=(1, 1, 1)), 128),
        (VggLikeConfig(), 512),
        (CrnnConfig(), 64),
        (TimmConfig(model="resnet18"), 512),
        # The features of this one are 576 wide and its output 1024: the width comes from the output.
        (TimmConfig(model="mobilenetv3_small_050"), 1024),
    ],
    ids=str,
)
def test_default_embedding_dims(config: EncoderConfig, embedding_dim: int) -> None:
    assert seeded_encoder(config).embedding_dim == embedding_dim


def test_the_readout_of_all_depths_ends_with_the_embedding() -> None:
    encoder = seeded_encoder(ResNetConfig(width=16, blocks=(1, 2, 1))).eval()
    with torch.no_grad():
        log_mel = noise(2, 1, 64, 96)
        readout = encoder.readout(log_mel)  # of the stem and three stages of 16, 16, 32 and 64 channels
        torch.testing.assert_close(readout[:, -128:], encoder(log_mel))
        stem = encoder.stem(log_mel)
        torch.testing.assert_close(readout[:, :32], torch.cat([stem.mean((2, 3)), stem.amax((2, 3))], dim=1))
    assert readout.shape == (2, encoder.readout_dim) == (2, 256)
    last = seeded_encoder(ResNetConfig(width=16, depths="last"))
    assert last.readout_dim == last.embedding_dim == 256


def test_vgg_like_and_crnn_have_the_published_layers() -> None:
    vgg_shapes = [tuple(p.shape) for p in seeded_encoder(VggLikeConfig()).parameters() if p.ndim > 1]
    assert vgg_shapes == [
        (32, 1, 3, 3),
        (32, 32, 3, 3),
        (32, 32, 3, 3),
        (64, 32, 3, 3),
        (64, 64, 3, 3),
        (128, 64, 3, 3),
        (512, 256),
    ]
    crnn_shapes = [tuple(p.shape) for p in seeded_encoder(CrnnConfig()).parameters() if p.ndim == 4]
    assert crnn_shapes == [(128, 1, 5, 5), (128, 128, 5, 5), (128, 128, 5, 5)]


def test_resnet_of_full_width_has_the_size_of_resnet18() -> None:
    ours = seeded_encoder(ResNetConfig(width=64, stem="coarse"))
    timms = seeded_encoder(TimmConfig(model="resnet18"))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in timms.parameters())


@every_encoder
def test_eval_repeats_and_does_not_mix_the_batch(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).eval()
    log_mel = noise(3, 1, 64, 96)
    with torch.no_grad():
        together = encoder(log_mel)
        assert torch.equal(together, encoder(log_mel))
        torch.testing.assert_close(together[1:2], encoder(log_mel[1:2]), rtol=1e-4, atol=1e-5)


@every_encoder
def test_input_is_left_as_it_was(config: EncoderConfig) -> None:
    log_mel = noise(2, 1, 64, 96)
    seeded_encoder(config).train()(log_mel)
    assert torch.equal(log_mel, noise(2, 1, 64, 96))


@every_encoder
def test_channels_last_weights_and_layout_change_nothing(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).eval()
    log_mel = noise(2, 1, 64, 96)
    with torch.no_grad():
        expected = encoder(log_mel)
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        actual = encoder(log_mel.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@every_encoder
def test_bfloat16_autocast_trains_and_returns_float32(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log_mel = noise(4, 1, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        embedding = encoder(log_mel)
    assert embedding.dtype == torch.float32
    embedding.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    encoder.eval()
    with torch.no_grad():
        exact = encoder(log_mel)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(log_mel)
    assert torch.nn.functional.cosine_similarity(exact, rounded).min() > 0.99


@every_encoder
def test_gradient_reaches_every_parameter(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).train()
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01)
    for _ in range(
        2
    ):  # timm starts each residual branch at zero, which blocks the gradient of the first step
        optimizer.zero_grad()
        embedding = encoder(noise(8, 1, 64, 96))
        (embedding * noise(8, encoder.embedding_dim, seed=1)).mean().backward()
        optimizer.step()
    unreached = [k for k, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unreached == []


@pytest.mark.parametrize("width", [8, 16])
def test_resnet_has_no_strided_1x1_convolution(width: int) -> None:
    # Its gradient damages the heap below 16 channels; a crash would take the test process with it.
    encoder = seeded_encoder(ResNetConfig(width=width))
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m for m in convolutions if m.kernel_size == (1, 1) and m.stride != (1, 1)] == []
    assert len([m for m in convolutions if m.kernel_size == (1, 1)]) == 3


def test_resnet_shortcut_is_the_strided_convolution_of_the_paper() -> None:
    block = BasicBlock(16, 32, stride=2).eval()
    features = noise(2, 16, 9, 12)
    weight = block.state_dict()["shortcut.1.weight"]
    strided = torch.nn.functional.conv2d(features, weight, stride=2)  # (2, 32, 5, 6)
    expected = block.get_submodule("shortcut.2")(strided)
    torch.testing.assert_close(block.shortcut(features), expected)


@every_encoder
def test_weights_depend_on_the_seed_alone(config: EncoderConfig) -> None:
    first, again, other = (seeded_encoder(config, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_encoder
def test_state_dict_round_trip(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config, seed=1)
    encoder(noise(4, 1, 64, 96))  # moves the running statistics
    copy = seeded_encoder(config, seed=2)
    copy.load_state_dict(encoder.state_dict(), strict=True)
    log_mel = noise(2, 1, 64, 120)
    with torch.no_grad():
        assert torch.equal(encoder.eval()(log_mel), copy.eval()(log_mel))


@every_encoder
def test_a_steady_sound_embeds_alike_at_two_lengths(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config)
    period = noise(1, 1, 64, 32)
    encoder(noise(16, 1, 64, 96))
    encoder.eval()
    with torch.no_grad():
        short, long = encoder(period.repeat(1, 1, 1, 15)), encoder(period.repeat(1, 1, 1, 30))
        other = encoder(noise(1, 1, 64, 32, seed=7).repeat(1, 1, 1, 15))
    drift = (short - long).norm()
    assert drift < 0.1 * short.norm()
    assert drift < 0.5 * (short - other).norm()


@every_encoder
def test_twenty_steps_lower_the_loss(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).train()
    readout = torch.nn.Linear(encoder.embedding_dim, 1)
    log_mel = noise(16, 1, 64, 48)
    target = torch.arange(16.0)[:, None] / 8 - 1  # (B, 1)
    log_mel[:, :, 20:40] += target[..., None, None]  # what is to be found: the level of a band
    optimizer = torch.optim.AdamW([*encoder.parameters(), *readout.parameters()], lr=3e-3)
    losses = []
    for _ in range(21):
        loss = (readout(encoder(log_mel)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@every_encoder
def test_refuses_too_few_bands_or_frames(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).eval()
    bands, frames = config.minimum_mel_bands, config.minimum_frames
    with torch.no_grad():
        assert encoder(noise(2, 1, bands, frames)).shape == (2, encoder.embedding_dim)
    with pytest.raises(ValueError, match=f"{bands - 1} mel bands: .* at least {bands}"):
        encoder(noise(2, 1, bands - 1, 96))
    with pytest.raises(ValueError, match=f"{frames - 1} frames: .* at least {frames}"):
        encoder(noise(2, 1, 64, frames - 1))


@pytest.mark.parametrize("log_mel", [noise(2, 64, 96), noise(2, 2, 64, 96), torch.zeros(2, 1, 64, 96).int()])
def test_refuses_other_shapes_and_types(log_mel: Tensor) -> None:
    with pytest.raises(ValueError, match=r"takes floats of shape \(batch, 1, mel bands, frames\)"):
        seeded_encoder(CONFIGS["crnn"])(log_mel)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"name": "resnet", "width": 0}, "width"),
        ({"name": "resnet", "width": 12}, "width"),
        ({"name": "resnet", "stem": "wide"}, "stem"),
        ({"name": "resnet", "blocks": []}, "blocks"),
        ({"name": "resnet", "blocks": [2, 0]}, "blocks"),
        ({"name": "resnet", "depth": 18}, "depth"),
        ({"name": "vgg_like", "embedding_dim": 4}, "embedding_dim"),
        ({"name": "crnn", "width": 100}, "width"),
        ({"name": "timm"}, "model"),
        ({"name": "transformer"}, "resnet"),
    ],
)
def test_config_errors_name_the_key(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        TypeAdapter(EncoderConfig).validate_python(values)


@every_encoder
def test_config_survives_json(config: EncoderConfig) -> None:
    adapter: TypeAdapter[EncoderConfig] = TypeAdapter(EncoderConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config


@pytest.mark.parametrize(
    ("name", "nearest"), [("resnet-18", "resnet18"), ("hf-hub:timm/resnet18", "resnet18")]
)
def test_unknown_timm_name_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"no architecture '{name}'; nearest: .*\b{nearest}\b"):
        build_encoder(TimmConfig(model=name))


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
def test_timm_architecture_of_fixed_size_is_refused_when_built(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' does not take 64 mel bands by any number of frames"):
        build_encoder(TimmConfig(model=name))


def test_timm_is_imported_only_when_chosen() -> None:
    code = (
        "import sys; from echopair.models.encoders import ResNetConfig, build_encoder; build_encoder(ResNetConfig());"
        "sys.exit('timm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."})


@every_encoder
def test_the_embedding_is_the_pooled_feature_map_to_the_last_bit(config: EncoderConfig) -> None:
    encoder = seeded_encoder(config).eval()
    log_mel = noise(2, 1, 64, 96)
    with torch.no_grad():
        features = encoder.features(log_mel)
        assert features.shape[:2] == (2, encoder.feature_channels)
        assert torch.equal(encoder.pool(features), encoder(log_mel))
