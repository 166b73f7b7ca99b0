"""Values and choices of single losses that are known without a slow reference."""

import math
from collections import Counter

import pytest
import torch

from echopair.models.losses.decorrelation import barlow_twins, vicreg
from echopair.models.losses.margins import contrastive_pairs
from echopair.models.losses.noise_contrastive import binary_chance_level, binary_nce
from echopair.models.losses.reweighted_negatives import debiased
from echopair.models.losses.supervised_contrastive import supervised_contrastive
from echopair.models.losses.triplets import draw_by_distance, triplet


def test_scores_of_zero_give_the_chance_level_of_binary_nce() -> None:
    orthogonal = torch.eye(10).view(2, 5, 10)
    assert binary_nce(orthogonal, 0.2).item() == pytest.approx(binary_chance_level(5))
    assert binary_chance_level(5) == pytest.approx(math.log(9) + 8 * math.log(9 / 8))


def test_pairs_beyond_the_margin_and_equal_views_have_no_loss() -> None:
    clips = torch.eye(4).expand(2, 4, 4)  # distances of sqrt(2)
    assert contrastive_pairs(clips, 1.4).item() == 0
    assert contrastive_pairs(clips, 2.0).item() == pytest.approx(0.5 * (2 - math.sqrt(2)) ** 2)
    assert triplet(clips, 1.9, "hard", torch.Generator()).item() == 0
    assert triplet(clips, 2.5, "hard", torch.Generator()).item() == pytest.approx(0.5)


def test_projections_without_a_positive_contribute_nothing() -> None:
    z = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[True, False], [True, False], [False, True], [False, False]])
    for inside in (False, True):
        loss = supervised_contrastive(z, labels, 0.2, inside)
        cosines = torch.nn.functional.cosine_similarity(z[0][:, None], z[0], dim=2) / 0.2
        others = [torch.cat([row[:n], row[n + 1 :]]).logsumexp(0) for n, row in enumerate(cosines)]
        assert loss.item() == pytest.approx((sum(others[:2]) / 2 - cosines[0, 1]).item(), rel=1e-5)
        alone = supervised_contrastive(z, labels[:, 1:], 0.2, inside)
        assert alone.item() == 0
        assert torch.autograd.grad(alone, z)[0].eq(0).all()


def test_a_batch_of_one_recording_has_no_loss() -> None:
    one = torch.zeros(5, dtype=torch.int64)
    z = torch.randn(2, 5, 6)
    assert binary_nce(z, 0.2, one).item() == debiased(z, 0.2, 0.1, 1.0, one).item() == 0
    assert triplet(z, 0.2, "distance_weighted", torch.Generator(), one).item() == 0


def test_debiasing_is_bounded_from_below() -> None:
    clips = torch.eye(4).expand(2, 4, 4).clone()
    # The prior's share of equal positives exceeds all negatives, so that g is e^(-1 / temperature).
    expected = math.log1p(6 * math.exp(-1 / 0.1) / math.exp(1 / 0.1))
    assert debiased(clips, 0.1, 0.5).item() == pytest.approx(expected, rel=1e-3)


def test_distance_weighted_negatives_have_the_weights_of_the_paper() -> None:
    apart = torch.tensor([[0.0, 0.2, 0.5, 0.9, 1.3, 1.5]])
    negatives = torch.tensor([[False, True, True, True, True, True]])
    draws = torch.rand(1000, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = draw_by_distance(apart.repeat(1000, 1), negatives.repeat(1000, 1), 4, draws).flatten()
    weights = [0.0, *(1 / (d**2 * (1 - d**2 / 4) ** 0.5) for d in (0.5, 0.5, 0.9, 1.3)), 0.0]
    counts = Counter(rows.tolist())
    for row, weight in enumerate(weights):
        assert counts[row] / 20000 == pytest.approx(weight / sum(weights), abs=0.015)
    far = draw_by_distance(apart + 1.3, negatives, 4, draws[:, :1].T)[0]
    assert set(far.tolist()) == {1, 2, 3, 4, 5}


def test_triplets_are_drawn_from_the_given_generator_alone() -> None:
    z = torch.randn(2, 16, 6)

    def loss(seed: int) -> float:
        return triplet(z, 0.5, "distance_weighted", torch.Generator().manual_seed(seed)).item()

    state = torch.random.get_rng_state()
    assert loss(1) == loss(1) != loss(2)
    assert torch.equal(state, torch.random.get_rng_state())


def test_decorrelated_equal_views_have_no_loss() -> None:
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # dimensions that are uncorrelated
    z = (100 * signs).expand(3, 4, 2)
    assert barlow_twins(z, 1.0).item() == pytest.approx(0, abs=1e-9)
    assert vicreg(z, 25, 25, 1).item() == 0
    assert barlow_twins(torch.stack([z[0], -z[0]]), 1.0).item() == pytest.approx(8)
    correlated = signs[:, :1].expand(2, 4, 2)  # variance 4/3: covariance term 2 (4/3)^2
    assert vicreg(correlated, 25, 25, 1).item() == pytest.approx(2 * (4 / 3) ** 2, rel=1e-6)


@pytest.mark.parametrize("sampling", ["all", "semi_hard"])
def test_triplets_of_a_large_batch_take_little_memory(sampling: str) -> None:
    z = torch.randn(2, 256, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        sizes: list[int] = []
        triplet(z, 0.2, sampling, torch.Generator()).backward()  # type: ignore[arg-type]
    assert max(sizes) <= 512 * 512
    assert sum(sizes) <= 10 * 512 * 512
