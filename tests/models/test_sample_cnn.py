import pytest
import torch

from echopair.models.encoders import SampleCnnConfig, build_encoder
from echopair.models.encoders.base import Encoder

SMALL = SampleCnnConfig(width=8, blocks=4)


def seeded(config: SampleCnnConfig = SMALL) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(config)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [3, 100, 1600, 15360])
def test_embeds_any_length(samples: int) -> None:
    encoder = seeded().eval()
    waveforms = noise(2, 1, 1, samples)
    with torch.no_grad():
        embedding = encoder(waveforms)
        assert embedding.shape == (2, encoder.embedding_dim) == (2, 64)
        assert embedding.isfinite().all()
        assert torch.equal(encoder.pool(encoder.features(waveforms)), embedding)
        torch.testing.assert_close(encoder(waveforms[1:]), embedding[1:], rtol=1e-4, atol=1e-5)


def test_it_has_the_layers_of_the_paper() -> None:
    encoder = seeded(SampleCnnConfig())
    convolutions = [one for one in encoder.modules() if isinstance(one, torch.nn.Conv2d)]
    assert [one.out_channels for one in convolutions] == [64, 64, 64, 128, 128, 128, 128, 256]
    assert all(one.kernel_size == (1, 3) for one in convolutions)
    assert [one.stride[1] for one in convolutions] == [3, 1, 1, 1, 1, 1, 1, 1]
    assert encoder.features(noise(1, 1, 1, 2 * 3**8)).shape == (1, 256, 1, 2)


def test_fewer_samples_than_a_convolution_are_refused() -> None:
    with pytest.raises(ValueError, match="crops of 2 frames: encoder 'sample_cnn' needs at least 3"):
        seeded()(noise(2, 1, 1, 2))


def test_bfloat16_autocast_trains_all_weights_and_returns_float32() -> None:
    encoder = seeded().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        embedding = encoder(noise(4, 1, 1, 2000))
    assert embedding.dtype == torch.float32
    embedding.square().sum().backward()
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_a_steady_sound_embeds_alike_at_two_lengths() -> None:
    encoder = seeded()
    encoder(noise(16, 1, 1, 2430))
    encoder.eval()
    period = noise(1, 1, 1, 243)
    with torch.no_grad():
        short, long = encoder(period.repeat(1, 1, 1, 20)), encoder(period.repeat(1, 1, 1, 40))
    assert (short - long).norm() < 0.1 * short.norm()


def test_twenty_steps_tell_pitches_apart() -> None:
    encoder = seeded()
    readout = torch.nn.Linear(encoder.embedding_dim, 1)
    target = torch.arange(16.0)[:, None] / 8 - 1  # (B, 1)
    waveforms = torch.sin((1 + 0.4 * target) * torch.arange(1600.0))[:, None, None]
    optimiser = torch.optim.AdamW([*encoder.parameters(), *readout.parameters()], lr=3e-3)
    losses = []
    for _ in range(21):
        loss = (readout(encoder(waveforms)) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
