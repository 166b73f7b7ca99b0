"""Agreement with pytorch-metric-learning and lightly, where they have the loss."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, DCLLoss, NTXentLoss, VICRegLoss
from pytorch_metric_learning import losses, miners, reducers
from pytorch_metric_learning.distances import LpDistance

from echopair.models.losses.decorrelation import barlow_twins, vicreg
from echopair.models.losses.margins import contrastive_pairs, lifted_structure
from echopair.models.losses.noise_contrastive import info_nce
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.losses.reweighted_negatives import decoupled
from echopair.models.losses.supervised_contrastive import supervised_contrastive
from echopair.models.losses.triplets import triplet

NORMALISED = LpDistance(power=1)
SQUARED = LpDistance(power=2)


def views(number: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Projections (V, N, P), their rows (V N, P), and the clip of each row."""
    z = torch.randn(number, 8, 16, generator=torch.Generator().manual_seed(number))
    return z, z.flatten(0, 1), torch.arange(8).repeat(number)


def test_contrastive_pairs() -> None:
    z, rows, clips = views(3)
    one = losses.ContrastiveLoss(neg_margin=1.5, distance=NORMALISED, reducer=reducers.DoNothingReducer())
    found = one(rows, clips)
    # The library has the distances without the squares.
    positive = found["pos_loss"]["losses"].square().mean()
    negative = found["neg_loss"]["losses"].square().mean()
    torch.testing.assert_close(contrastive_pairs(z, 1.5), 0.5 * (positive + negative))


def test_triplets() -> None:
    z, rows, clips = views()
    mean = losses.TripletMarginLoss(margin=0.4, distance=SQUARED, reducer=reducers.MeanReducer())
    torch.testing.assert_close(triplet(z, 0.4, "all", torch.Generator()), mean(rows, clips))
    hardest = miners.BatchHardMiner(distance=SQUARED)(rows, clips)
    torch.testing.assert_close(triplet(z, 0.4, "hard", torch.Generator()), mean(rows, clips, hardest))


def test_lifted_structure() -> None:
    z, rows, clips = views(3)
    one = losses.LiftedStructureLoss(neg_margin=1, pos_margin=0, distance=NORMALISED)
    torch.testing.assert_close(lifted_structure(z, 1.0), one(rows, clips))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_contrasts(temperature: float) -> None:
    z, _, clips = views()
    torch.testing.assert_close(nt_xent(z, temperature), NTXentLoss(temperature)(*z))
    torch.testing.assert_close(decoupled(z, temperature), DCLLoss(temperature)(*z))
    one_way = losses.NTXentLoss(temperature)(z[0], clips[:8], ref_emb=z[1], ref_labels=clips[:8])
    torch.testing.assert_close(info_nce(z, temperature, symmetric=False), one_way)


def test_supervised_contrastive() -> None:
    z, rows, _ = views(3)
    classes = torch.tensor([0, 1, 2, 0, 1, 0, 3, 2])
    labels = torch.nn.functional.one_hot(classes).bool()
    expected = losses.SupConLoss(0.1)(rows, classes.repeat(3))
    torch.testing.assert_close(supervised_contrastive(z, labels, 0.1, sum_inside=False), expected)


def test_decorrelation() -> None:
    z, _, _ = views()
    torch.testing.assert_close(barlow_twins(z, 5e-3), BarlowTwinsLoss()(*z))
    torch.testing.assert_close(vicreg(z, 25, 25, 1), VICRegLoss()(*z))
