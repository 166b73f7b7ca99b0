"""BYOL and SimSiam: what is predicted from what, and that their collapse is said."""

import pytest
import torch
import torch.nn.functional as F

from echopair.models.methods.byol import BYOL, BYOLConfig
from echopair.models.methods.prediction import PredictionConfig
from echopair.models.methods.simsiam import SimSiam, SimSiamConfig
from tests.models.methods.trainings import batches, build, train


def test_a_step_of_byol_is_equations_1_and_2() -> None:
    method = build(BYOLConfig(momentum=0.9))
    _, batch = next(batches(range(1)))
    online = torch.nn.Sequential(method.encoder, method.modules["projection"], method.modules["predictor"])
    target = method.modules["momentum"]
    with torch.no_grad():  # else the momentum copy still equals the online encoder
        for parameter in target.parameters():
            parameter.mul_(1.1)
    one, other = batch.views
    expected = sum(
        2 - 2 * F.cosine_similarity(online(view), target(goal)).mean()
        for view, goal in ((one, other), (other, one))
    )
    torch.testing.assert_close(method.training_step(batch).loss, expected / 2)

    before = next(target.parameters()).clone()
    method.after_step(2, 4)  # half way, where the momentum has risen from 0.9 to 0.95
    weight = next(method.encoder.parameters())
    torch.testing.assert_close(next(target.parameters()), 0.95 * before + 0.05 * weight)


def test_a_step_of_simsiam_is_algorithm_1() -> None:
    method = build(SimSiamConfig())
    _, batch = next(batches(range(1)))
    z1, z2 = (method.modules["projection"](method.encoder(view)) for view in batch.views)
    p1, p2 = map(method.modules["predictor"], (z1, z2))
    expected = (
        -(F.cosine_similarity(p1, z2.detach()).mean() + F.cosine_similarity(p2, z1.detach()).mean()) / 2
    )
    loss = method.training_step(batch).loss
    torch.testing.assert_close(loss, expected)
    weight = next(method.encoder.parameters())
    gradients = [torch.autograd.grad(one, weight)[0] for one in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_the_predictor_s_width_may_be_chosen() -> None:
    def widths(config: PredictionConfig) -> list[int]:
        return [layer.out_features for layer in build(config).modules["predictor"][::3]]

    assert widths(BYOLConfig()) == [16, 16]  # of the projection head's hidden layer: the embedding's
    assert widths(SimSiamConfig()) == [4, 16]
    assert widths(SimSiamConfig(predictor_hidden_dim=5)) == [5, 16]


def test_loss_is_compared_with_that_of_predicting_other_clips() -> None:
    method = build(SimSiamConfig())
    method.modules["predictor"] = torch.nn.Identity()
    _, batch = next(batches(range(1), noise=0))
    loss, metrics = method.training_step(batch)
    assert loss.item() == pytest.approx(-1)
    assert metrics()["loss_chance_level"] > -0.5


class BYOLWithoutStop(BYOL):
    def targets(self, views: object, projections: torch.Tensor) -> torch.Tensor:
        return projections


class SimSiamWithoutStop(SimSiam):
    def targets(self, views: object, projections: torch.Tensor) -> torch.Tensor:
        return projections


@pytest.mark.parametrize(
    "config",
    [BYOLConfig(momentum=0.9, momentum_schedule="constant"), SimSiamConfig()],
    ids=["byol", "simsiam"],
)
@pytest.mark.parametrize("removed", ["predictor", "stop-gradient", "nothing"])
def test_collapse_is_said_when_provoked(config: PredictionConfig, removed: str) -> None:
    """Views that are nearly all noise leave collapse as the only way to predict one from another."""
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(384, 32, bias=False), torch.nn.BatchNorm1d(32), torch.nn.ReLU()
    )
    encoder.embedding_dim = 32  # type: ignore[assignment]
    method = build(config, encoder)
    if removed == "predictor":
        method.modules["predictor"] = torch.nn.Identity()
    if removed == "stop-gradient":
        method.__class__ = BYOLWithoutStop if config.name == "byol" else SimSiamWithoutStop
    optimiser = torch.optim.Adam([p for p in method.modules.parameters() if p.requires_grad], 0.1)
    said: list[str | None] = []
    while not any(said) and len(said) < (150 if removed == "nothing" else 400):
        outputs = train(method, optimiser, len(said) + 25, first=len(said), noise=10, pairs=16)
        said += [method.collapse(output.metrics()) for output in outputs]
    assert said[0] is None
    assert any(said) == (removed != "nothing")
