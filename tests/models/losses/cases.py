"""The table of all losses that `test_losses.py` checks: a line for each."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from echopair.models.losses.decorrelation import barlow_twins, vicreg
from echopair.models.losses.margins import contrastive_pairs, lifted_structure
from echopair.models.losses.noise_contrastive import binary_nce, info_nce
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.losses.reweighted_negatives import debiased, decoupled
from echopair.models.losses.supervised_contrastive import supervised_contrastive
from echopair.models.losses.triplets import triplet
from tests.models.losses import references
from tests.models.losses.references import Rows

Recordings = torch.Tensor | None
Loss = Callable[[torch.Tensor, float, Recordings], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A loss, and what is true of it.

    Args:
        name: of the case.
        loss: of projections (V, N, P), N of at most 8, at a temperature (or ignoring it), with the recordings of clips.
        reference: the same, slow and from the paper's equation; None where another file compares it.
        equal: loss of V views of N equal projections; None where it has no closed form.
        ignores_norm: whether scaled projections have the same loss.
        excludes: whether clips of one recording can be left out.
        draws: whether it draws at random, for which the order of clips matters.
        temperature: for the checks at one temperature alone.
        views: most views it takes.
    """

    name: str
    loss: Loss
    reference: Callable[[torch.Tensor, float, Recordings], float] | None = None
    equal: Callable[[int, int], float] | None = None
    ignores_norm: bool = True
    excludes: bool = True
    draws: bool = False
    temperature: float = 0.2
    views: int = 3


def ln(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).log())


def labels(pairs: int) -> torch.Tensor:
    """Of eight clips with three labels: some share one or two, some none, and one has none."""
    rows = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1]]
    return torch.tensor(rows[:pairs], dtype=torch.bool)


def by_triplets(sampling: str) -> Case:
    return Case(
        f"triplet {sampling}",
        lambda z, _, recordings: triplet(z, 0.3, sampling, torch.Generator().manual_seed(5), recordings),  # type: ignore[arg-type]
        lambda z, _, recordings: references.triplet(Rows(z, recordings), 0.3, sampling, 5),
        equal=lambda _, __: 0.3,
        draws=sampling == "distance_weighted",
    )


def by_debiasing(prior: float, hardness: float) -> Case:
    return Case(
        f"debiased {prior} {hardness}",
        lambda z, t, recordings: debiased(z, t, prior, hardness, recordings),
        lambda z, t, recordings: references.debiased(Rows(z, recordings), t, prior, hardness),
        equal=lambda views, pairs: ln(1 + views * (pairs - 1)),
    )


def by_labels(sum_inside: bool) -> Case:
    def reference(z: torch.Tensor, t: float, recordings: Recordings) -> float:
        return references.supervised_contrastive(Rows(z, recordings), labels(z.shape[1]), t, sum_inside)

    return Case(
        f"supervised contrastive, sum {'inside' if sum_inside else 'outside'}",
        lambda z, t, recordings: supervised_contrastive(z, labels(z.shape[1]), t, sum_inside, recordings),
        reference,
        equal=lambda views, pairs: ln(views * pairs - 1),
        draws=True,  # the labels belong to places
    )


# fmt: off
CASES = [
    Case("contrastive pairs", lambda z, _, recordings: contrastive_pairs(z, 1.2, recordings),
         lambda z, _, recordings: references.contrastive_pairs(Rows(z, recordings), 1.2),
         equal=lambda _, __: 0.72),
    *(by_triplets(sampling) for sampling in ("all", "semi_hard", "hard", "distance_weighted")),
    Case("lifted structure", lambda z, _, recordings: lifted_structure(z, 1.0, recordings),
         lambda z, _, recordings: references.lifted_structure(Rows(z, recordings), 1.0),
         equal=lambda views, pairs: 0.5 * (ln(2 * views * (pairs - 1)) + 1) ** 2),
    Case("NT-Xent", nt_xent, lambda z, t, recordings: references.nt_xent(Rows(z, recordings), t),
         equal=lambda views, pairs: ln(views * pairs - 1)),
    Case("binary NCE", binary_nce, lambda z, t, recordings: references.binary_nce(Rows(z, recordings), t)),
    Case("InfoNCE", lambda z, t, recordings: info_nce(z, t, False, recordings),
         lambda z, t, recordings: references.info_nce(Rows(z, recordings), t, False), equal=lambda _, pairs: ln(pairs)),
    Case("InfoNCE symmetric", lambda z, t, recordings: info_nce(z, t, True, recordings),
         lambda z, t, recordings: references.info_nce(Rows(z, recordings), t, True), equal=lambda _, pairs: ln(pairs)),
    by_labels(sum_inside=False),
    by_labels(sum_inside=True),
    Case("decoupled", decoupled, lambda z, t, recordings: references.decoupled(Rows(z, recordings), t),
         equal=lambda views, pairs: ln(views * (pairs - 1))),
    by_debiasing(0.1, 0.0),
    by_debiasing(0.0, 2.0),
    by_debiasing(0.3, 1.0),
    Case("Barlow Twins", lambda z, _, __: barlow_twins(z, 0.05),
         lambda z, _, __: references.barlow_twins(z, 0.05), equal=lambda _, __: 6.0,
         ignores_norm=False, excludes=False),
    Case("VICReg", lambda z, _, __: vicreg(z, 25, 20, 1), lambda z, _, __: references.vicreg(z, (25, 20, 1)),
         equal=lambda _, __: 20 * 0.99, ignores_norm=False, excludes=False),
]  # `equal` of the last two is for 6 dimensions
# fmt: on
