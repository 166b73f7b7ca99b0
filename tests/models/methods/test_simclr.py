import torch

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.losses.nt_xent import chance_level, nt_xent
from echopair.models.methods import Batch, LearningData, SimCLRConfig, encode
from echopair.models.methods.projection_loss import ProjectionLoss
from echopair.models.projection import ProjectionConfig
from echopair.models.representation_health import representation_health


def method(temperature: float = 0.2) -> ProjectionLoss:
    torch.manual_seed(0)
    config = SimCLRConfig(temperature=temperature)
    return config.build(
        build_encoder(ResNetConfig(width=8, blocks=(1,))),
        ProjectionConfig(projection_dim=16),
        LearningData(6),
    )


def batch(*frames: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        [torch.randn(6, 1, 16, t, generator=generator) for t in frames],
        torch.arange(6),
        None,
        torch.Generator(),
    )


def test_loss_and_figures_are_those_of_the_projections() -> None:
    simclr = method()
    loss, metrics = simclr.training_step(batch(32, 32, 32))
    embeddings = torch.stack([simclr.encoder(view) for view in batch(32, 32, 32).views])
    together = encode(simclr.encoder, batch(32, 32, 32).views)
    assert together.shape == embeddings.shape == (3, 6, 16)
    projections = simclr.modules["projection"](together.flatten(0, 1)).unflatten(0, (3, 6))
    assert torch.equal(loss, nt_xent(projections, 0.2))
    expected = representation_health(together.detach(), projections.detach())
    assert metrics() == {"loss_chance_level": chance_level(6, 3), **expected}


def test_views_may_have_different_lengths() -> None:
    simclr = method()
    simclr.modules.eval()  # else batch normalisation depends on which views are encoded together
    views = batch(32, 32, 48, 24).views
    for view, embeddings in zip(views, encode(simclr.encoder, views), strict=True):
        torch.testing.assert_close(embeddings, simclr.encoder(view))
    assert simclr.training_step(batch(32, 32, 48, 24)).loss.isfinite()


def test_the_config_of_the_step_decides() -> None:
    simclr = method()
    before = simclr.training_step(batch(32, 32)).loss
    simclr.config = SimCLRConfig(temperature=1.0)
    assert torch.equal(
        simclr.training_step(batch(32, 32)).loss, method(1.0).training_step(batch(32, 32)).loss
    )
    assert not torch.equal(before, simclr.training_step(batch(32, 32)).loss)
