"""What is to be true of every loss, see the table in `cases.py`."""

import math

import pytest
import torch

from tests.models.losses.cases import CASES, Case

every_loss = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

RECORDINGS = torch.tensor([0, 1, 2, 1, 3, 4, 0])  # of 7 clips; two recordings have two clips each


def projections(views: int, pairs: int = 5, seed: int = 0) -> torch.Tensor:
    """(V, N, 6) float64, whose positives are somewhat similar."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(1, pairs, 6, generator=generator, dtype=torch.float64)
    return 0.7 * clips + torch.randn(views, pairs, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=lambda case: case.name)
def test_it_is_the_papers_equation(case: Case) -> None:
    assert case.reference is not None
    for views, temperature in ((2, 0.07), (min(3, case.views), 0.5)):
        z = projections(views, 7)
        expected = case.reference(z, temperature, None)
        assert case.loss(z, temperature, None).item() == pytest.approx(expected, rel=1e-6)
        single = case.loss(z.float(), temperature, None)
        assert single.dtype == torch.float32
        assert single.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("case", [case for case in CASES if case.excludes], ids=lambda case: case.name)
def test_clips_of_one_recording_can_be_left_out(case: Case) -> None:
    assert case.reference is not None
    z = projections(min(3, case.views), 7)
    loss = case.loss(z, case.temperature, RECORDINGS)
    assert loss.item() == pytest.approx(case.reference(z, case.temperature, RECORDINGS), rel=1e-6)
    assert loss.item() != pytest.approx(case.loss(z, case.temperature, None).item(), rel=1e-9)


@every_loss
def test_its_gradient_is_that_of_its_value(case: Case) -> None:
    z = projections(min(3, case.views)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: case.loss(z, case.temperature, None), z, fast_mode=True)


@every_loss
@pytest.mark.parametrize("autocast", [False, True])
def test_value_and_gradient_are_always_finite(case: Case, autocast: bool) -> None:
    random = projections(2).float()
    same = random[:1].expand(2, -1, -1)
    opposite = torch.ones(5, 6) * torch.tensor([1.0, -1, 1, -1, 1])[:, None]
    of_one_recording = torch.zeros(5, dtype=torch.int64) if case.excludes else None
    inputs = {
        "zero": torch.zeros(2, 5, 6),
        "some zero": random * torch.tensor([0.0, 1, 1, 0, 1])[:, None],
        "equal": torch.ones(2, 5, 6),
        "equal views": same,
        "nearly equal": 1 + 1e-7 * random,
        "opposite views": torch.stack([random[0], -random[0]]),
        "opposite clips": opposite.expand(2, -1, -1),
        "all opposite": torch.stack([opposite, -opposite]),
        "tiny": 1e-20 * random,
        "large": 1e4 * random,
    }
    for name, values in inputs.items():
        for temperature, recordings in ((0.01, None), (10.0, None), (0.01, of_one_recording)):
            z = (values.bfloat16() if autocast else values).clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = case.loss(z, temperature, recordings)
            (gradient,) = torch.autograd.grad(loss, z)
            assert loss.dtype == torch.float32
            assert loss.isfinite(), (name, temperature)
            assert gradient.isfinite().all(), (name, temperature)


@every_loss
def test_autocast_does_not_round(case: Case) -> None:
    z = projections(2).bfloat16()
    expected = case.loss(z.float(), case.temperature, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(case.loss(z, case.temperature, None), expected)


@every_loss
def test_equal_projections_have_a_closed_form(case: Case) -> None:
    for views in {2, min(4, case.views)}:
        if case.equal is not None:
            loss = case.loss(torch.ones(views, 5, 6), case.temperature, None)
            assert loss.item() == pytest.approx(case.equal(views, 5), rel=1e-5)


@every_loss
def test_order_of_clips_and_norm_change_nothing(case: Case) -> None:
    z = projections(min(3, case.views))
    loss = case.loss(z, case.temperature, None)
    if not case.draws:
        torch.testing.assert_close(case.loss(z[:, [3, 0, 4, 1, 2]], case.temperature, None), loss)
    if case.ignores_norm:
        norms = torch.linspace(0.1, 30, z[..., 0].numel(), dtype=z.dtype).view(*z.shape[:2], 1)
        torch.testing.assert_close(case.loss(z * norms, case.temperature, None), loss)


@every_loss
def test_twenty_steps_lower_it(case: Case) -> None:
    z = projections(min(3, case.views), 8).float().requires_grad_()
    before = case.loss(z, case.temperature, None).item()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        case.loss(z, case.temperature, None).backward()
        optimiser.step()
    after = case.loss(z, case.temperature, None).item()
    assert after < before - 0.2 * abs(before)
    assert math.isfinite(after)
