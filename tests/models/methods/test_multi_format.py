"""Multi-format contrast: log-mels against waveforms."""

import io
from dataclasses import replace
from typing import Any

import pytest
import torch

from echopair.models.encoders import ResNetConfig, SampleCnnConfig, build_encoder
from echopair.models.methods import Batch, LearningData
from echopair.models.methods.multi_format import MultiFormat, MultiFormatConfig
from echopair.models.projection import ProjectionConfig
from tests.models.losses import references
from tests.models.losses.references import Rows

SMALL = SampleCnnConfig(width=8, blocks=3)


def build(**values: Any) -> MultiFormat:
    torch.manual_seed(0)
    config = MultiFormatConfig(waveform_encoder=SMALL, **values)
    encoder = build_encoder(ResNetConfig(width=8, stem="patch", blocks=(1,)))
    return config.build(encoder, ProjectionConfig(projection_dim=16), LearningData())


def batch(step: int = 0) -> Batch:
    """Eight clips of different pitch: a band of the log-mel, and a sine."""
    generator = torch.Generator().manual_seed(step)
    log_mels = 3 * torch.eye(16)[:8, None, :, None].expand(8, 1, 16, 24)
    sines = torch.sin((0.1 + 0.3 * torch.arange(8.0)[:, None]) * torch.arange(1200.0))
    return Batch(
        [log_mels + torch.randn(8, 1, 16, 24, generator=generator) for _ in range(2)],
        torch.arange(8),
        None,
        generator,
        recordings=torch.arange(8) // 2,
        waveforms=sines + 0.1 * torch.randn(2, 8, 1200, generator=generator),
    )


def train(method: MultiFormat, optimiser: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        loss = method.training_step(batch(step)).loss
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return losses


def adam(method: MultiFormat) -> torch.optim.Optimizer:
    return torch.optim.Adam(method.modules.parameters(), lr=3e-3)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_step_is_info_nce_of_one_views_log_mel_and_the_others_waveform(ignored: bool) -> None:
    method = build(ignore_same_recording=ignored)
    method.modules.double()
    given = batch()
    assert given.waveforms is not None
    given = replace(given, views=[one.double() for one in given.views], waveforms=given.waveforms.double())
    of_mel, of_waveform = (
        method.modules[head](method.modules[encoder](inputs))
        for encoder, head, inputs in (
            ("encoder", "projection", given.views[0]),
            ("waveform_encoder", "waveform_projection", given.waveforms[1][:, None, None]),
        )
    )
    recordings = given.recordings if ignored else None
    expected = references.info_nce(
        Rows(torch.stack([of_mel, of_waveform]).detach(), recordings), 0.2, symmetric=True
    )
    assert method.training_step(given).loss.item() == pytest.approx(expected, rel=1e-6)


def test_its_gradient_is_that_of_its_value() -> None:
    method = build()
    method.modules.double()
    given = batch()
    waveforms = torch.randn(2, 8, 60, dtype=torch.float64).requires_grad_()

    def loss(mel: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
        return method.training_step(replace(given, views=[mel, mel], waveforms=waveforms)).loss

    mel = given.views[0].double().requires_grad_()
    # Small steps: ReLU and the maxima have corners.
    assert torch.autograd.gradcheck(loss, (mel, waveforms), eps=1e-8, atol=1e-4, fast_mode=True)


def test_twenty_steps_lower_the_loss_and_train_both_encoders() -> None:
    method = build()
    losses = train(method, adam(method), range(20))
    assert losses[-1] < losses[0] - 0.5
    assert all(parameter.grad is not None for parameter in method.modules.parameters())
    metrics = method.training_step(batch(20)).metrics()
    assert method.collapse(metrics) is None
    assert metrics["loss_chance_level"] == pytest.approx(2.0794, abs=1e-4)


def test_the_step_is_finite_under_bfloat16_autocast() -> None:
    method = build()
    with torch.autocast("cpu", torch.bfloat16):
        loss, metrics = method.training_step(batch())
    assert loss.dtype == torch.float32
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.modules.parameters())
    assert all(abs(value) < 1e4 for value in metrics().values())


def test_a_restored_method_goes_on_bit_for_bit() -> None:
    method = build(temperature_change={"name": "learned"})
    optimiser = adam(method)
    train(method, optimiser, range(3))
    file = io.BytesIO()
    torch.save([method.modules.state_dict(), optimiser.state_dict()], file)
    expected = train(method, optimiser, range(3, 6))
    file.seek(0)
    restored = build(temperature_change={"name": "learned"})
    optimiser = adam(restored)
    for part, state in zip((restored.modules, optimiser), torch.load(file), strict=True):
        part.load_state_dict(state)
    assert train(restored, optimiser, range(3, 6)) == expected


def test_either_encoder_may_be_kept() -> None:
    assert build().encoder.config == ResNetConfig(width=8, stem="patch", blocks=(1,))
    kept = build(keep="waveform")
    assert kept.encoder.config == SMALL
    assert build().training_step(batch()).loss == kept.training_step(batch()).loss
