"""Losses in blocks of queries: the value and every gradient of the whole matrix, in memory linear in the batch."""

from collections.abc import Callable

import pytest
import torch

from echopair.models.losses import blocks
from echopair.models.losses.future_frames import future_frames
from echopair.models.losses.local_global import local_global
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.representation_health import representation_health
from tests.models.losses.cases import CASES, Case
from tests.models.losses.test_losses import RECORDINGS, projections


@pytest.fixture
def use_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the following losses take two to five rows at once."""
    return lambda: monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", 40)


def same(
    loss: Callable[..., torch.Tensor], inputs: list[torch.Tensor], use_blocks: Callable[[], None]
) -> None:
    whole = loss(*inputs)
    gradients = torch.autograd.grad(whole, inputs)
    use_blocks()
    in_blocks = loss(*inputs)
    torch.testing.assert_close(in_blocks, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(2 * in_blocks, inputs), tuple(2 * one for one in gradients)
    )
    with torch.no_grad():
        torch.testing.assert_close(loss(*inputs), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_loss_has_the_value_and_gradient_of_the_whole_matrix(
    case: Case, use_blocks: Callable[[], None]
) -> None:
    z = projections(min(3, case.views), 7).requires_grad_()
    recordings = RECORDINGS if case.excludes else None
    same(lambda z: case.loss(z, case.temperature, recordings), [z], use_blocks)


def test_a_learned_temperature_has_its_gradient(use_blocks: Callable[[], None]) -> None:
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    same(nt_xent, [projections(3, 7).requires_grad_(), temperature], use_blocks)


def test_local_features_and_future_frames_as_well(use_blocks: Callable[[], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, 9, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    local = torch.randn(2, 9, 5, 1, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    same(lambda *z: local_global(z[0].unbind(), *z[1:])[0], [local, vectors, temperature], use_blocks)


def test_predictions_of_frames(use_blocks: Callable[[], None]) -> None:
    frames = torch.randn(9, 4, 5, dtype=torch.float64, requires_grad=True)
    predictions = [torch.randn(9, 4 - k, 5, dtype=torch.float64, requires_grad=True) for k in (1, 2)]
    same(lambda z, *p: future_frames(z, p)[0], [frames, *predictions], use_blocks)


def test_metrics_of_representations_are_the_same(use_blocks: Callable[[], None]) -> None:
    z = projections(3, 7)
    whole = representation_health(z, z)
    use_blocks()
    assert representation_health(z, z) == pytest.approx(whole, rel=1e-6)


def test_float32_differs_by_the_order_of_sums_alone(use_blocks: Callable[[], None]) -> None:
    z = torch.randn(2, 300, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole = nt_xent(z, 0.05)
    gradient = torch.autograd.grad(whole, z)[0]
    use_blocks()
    loss = nt_xent(z, 0.05)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    difference = torch.autograd.grad(loss, z)[0] - gradient
    assert difference.abs().max() < 1e-6 * gradient.abs().max()
