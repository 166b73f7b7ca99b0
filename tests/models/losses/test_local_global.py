import math

import pytest
import torch

from echopair.models.losses.local_global import local_global


def inputs(views: int = 2) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(4, 5, 2, 3, generator=generator, dtype=torch.float64) for _ in range(views)]
    return maps, torch.randn(views, 4, 5, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("views", [2, 3])
def test_is_equation_6_of_the_paper_term_by_term(views: int) -> None:
    maps, vectors = inputs(views)

    def score(view: int, clip: int, place: tuple[int, int], vector: torch.Tensor) -> float:
        local = maps[view][clip, :, place[0], place[1]]
        return float(local @ vector / (local.norm() * vector.norm())) / 0.1

    terms = []
    for one in range(views):
        for other in set(range(views)) - {one}:
            for clip in range(4):
                for place in ((band, frame) for band in range(2) for frame in range(3)):
                    vector = vectors[other, clip]
                    candidates = sum(math.exp(score(one, n, place, vector)) for n in range(4))
                    terms.append(math.log(candidates) - score(one, clip, place, vector))
    loss, _ = local_global(maps, vectors, 0.1)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)


def test_equal_features_are_chance_and_own_ones_are_found() -> None:
    loss, _ = local_global([torch.ones(4, 5, 2, 3)] * 2, torch.ones(2, 4, 5), 0.2)
    assert loss.item() == pytest.approx(math.log(4)) == pytest.approx(math.log(4))
    own = torch.eye(4)
    loss, accuracy = local_global([own[..., None, None].expand(4, 4, 2, 3)] * 2, own.expand(2, 4, 4), 0.2)
    assert loss.item() == pytest.approx(-math.log(math.exp(5) / (math.exp(5) + 3)), rel=1e-5)
    assert accuracy == 1


def test_its_gradient_is_right_and_zero_and_opposite_vectors_are_finite() -> None:
    maps, vectors = [one[:2, :3, :1] for one in inputs()[0]], inputs()[1][:, :2, :3]
    leaves = [one.requires_grad_() for one in (*maps, vectors)]
    assert torch.autograd.gradcheck(lambda *x: local_global(x[:2], x[2], 0.5)[0], leaves)
    zero = torch.zeros(2, 4, 5, requires_grad=True)
    for globals_ in (zero, -torch.ones(2, 4, 5)):
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = local_global([torch.ones(4, 5, 2, 3)] * 2, globals_, 0.01)
        assert loss.isfinite()
    (gradient,) = torch.autograd.grad(local_global([torch.zeros(4, 5, 2, 3)] * 2, zero, 0.01)[0], zero)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("views", "clips", "temperature"), [(1, 4, 0.2), (2, 1, 0.2), (2, 4, 0.0)])
def test_what_it_cannot_compare_is_refused(views: int, clips: int, temperature: float) -> None:
    with pytest.raises(ValueError, match=r"at least two|above 0"):
        local_global([torch.ones(clips, 5, 2, 3)] * views, torch.ones(views, clips, 5), temperature)
