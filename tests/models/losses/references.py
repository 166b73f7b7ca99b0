"""Slow references: each loss term by term from its paper's equation, on rows (view, clip) in float64."""

import math
from itertools import combinations

import torch

Row = tuple[int, int]


class Rows:
    """Projections (V, N, P) of norm 1 by (view, clip), and which are positives and negatives of each other."""

    def __init__(self, projections: torch.Tensor, recordings: torch.Tensor | None = None) -> None:
        self.views, self.pairs, self.dimensions = projections.shape
        self.z = {
            (view, clip): projections[view, clip].double() / projections[view, clip].double().norm()
            for view in range(self.views)
            for clip in range(self.pairs)
        }
        self.recordings = None if recordings is None else recordings.tolist()

    def cosine(self, i: Row, j: Row) -> float:
        return float(torch.dot(self.z[i], self.z[j]))

    def distance(self, i: Row, j: Row) -> float:
        return float((self.z[i] - self.z[j]).norm())

    def positives(self, i: Row) -> list[Row]:
        return [j for j in self.z if j[1] == i[1] and j != i]

    def negatives(self, i: Row) -> list[Row]:
        return [j for j in self.z if j[1] != i[1] and not self.one_recording(i, j)]

    def one_recording(self, i: Row, j: Row) -> bool:
        return self.recordings is not None and self.recordings[i[1]] == self.recordings[j[1]]

    def pairs_of_positives(self) -> list[tuple[Row, Row]]:
        return [(i, j) for i in self.z for j in self.positives(i)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def contrastive_pairs(rows: Rows, margin: float) -> float:
    near = [0.5 * rows.distance(i, j) ** 2 for i, j in rows.pairs_of_positives()]
    far = [0.5 * max(0.0, margin - rows.distance(i, j)) ** 2 for i in rows.z for j in rows.negatives(i)]
    return mean(near) + mean(far)


def lifted_structure(rows: Rows, margin: float) -> float:
    total = 0.0
    for i, j in rows.pairs_of_positives():
        negatives = sum(math.exp(margin - rows.distance(i, k)) for k in rows.negatives(i))
        negatives += sum(math.exp(margin - rows.distance(j, k)) for k in rows.negatives(j))
        if negatives:
            total += max(0.0, math.log(negatives) + rows.distance(i, j)) ** 2
    return total / (2 * len(rows.pairs_of_positives()))


def triplet(rows: Rows, margin: float, sampling: str, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((len(rows.z), rows.views - 1), generator=generator, dtype=torch.float64).tolist()
    losses = []
    for i, of_anchor in zip(rows.z, draws, strict=True):
        for turn, draw in enumerate(of_anchor, start=1):
            positive = rows.distance(i, ((i[0] - turn) % rows.views, i[1])) ** 2
            negatives = [rows.distance(i, k) for k in rows.negatives(i)]
            beyond = [d for d in negatives if d**2 > positive]
            match sampling:
                case "all":
                    chosen = negatives
                case "hard":
                    chosen = [min(negatives)]
                case "semi_hard":
                    chosen = [min(beyond) if beyond else max(negatives)]
                case _:
                    chosen = [by_distance(negatives, rows.dimensions, draw)]
            losses += [max(0.0, margin + positive - d**2) for d in chosen]
    return mean(losses)


def by_distance(distances: list[float], dimensions: int, draw: float) -> float:
    def weight(d: float) -> float:
        d = max(d, 0.5)
        return 1 / (d ** (dimensions - 2) * (1 - d**2 / 4) ** ((dimensions - 3) / 2))

    usable = [d for d in distances if d < 1.4]
    weights = [weight(d) for d in usable] if usable else [1.0] * len(distances)
    usable = usable or distances
    total = 0.0
    for d, w in zip(usable, weights, strict=True):
        total += w
        if total > draw * sum(weights):
            return d
    raise AssertionError


def softmax_loss(positive: float, others: list[float], temperature: float) -> float:
    """-ln of the share of e^(positive / temperature) in the sum over it and others."""
    return -positive / temperature + math.log(sum(math.exp(s / temperature) for s in [positive, *others]))


def nt_xent(rows: Rows, temperature: float) -> float:
    losses = []
    for i, p in rows.pairs_of_positives():
        others = [*(q for q in rows.positives(i) if q != p), *rows.negatives(i)]
        losses.append(softmax_loss(rows.cosine(i, p), [rows.cosine(i, k) for k in others], temperature))
    return mean(losses)


def binary_nce(rows: Rows, temperature: float) -> float:
    losses = []
    for i, p in rows.pairs_of_positives():
        number = len(rows.negatives(i))

        def probability(j: Row, i: Row = i, number: int = number) -> float:
            return 1 / (1 + number * math.exp(-rows.cosine(i, j) / temperature))

        of_noise = sum(math.log(1 - probability(k)) for k in rows.negatives(i))
        losses.append(-math.log(probability(p)) - of_noise)
    return mean(losses)


def info_nce(rows: Rows, temperature: float, symmetric: bool) -> float:
    losses = []
    for i, p in rows.pairs_of_positives():
        if symmetric or i[0] == 0:
            others = [rows.cosine(i, k) for k in rows.negatives(i) if k[0] == p[0]]
            losses.append(softmax_loss(rows.cosine(i, p), others, temperature))
    return mean(losses)


def supervised_contrastive(rows: Rows, labels: torch.Tensor, temperature: float, sum_inside: bool) -> float:
    losses = []
    for i in rows.z:
        others = [j for j in rows.z if j != i]
        one_class = [j for j in others if j[1] == i[1] or bool((labels[i[1]] & labels[j[1]]).any())]
        left_out = [j for j in others if rows.one_recording(i, j)]
        candidates = [j for j in others if j in one_class or j not in left_out]
        every = sum(math.exp(rows.cosine(i, j) / temperature) for j in candidates)
        shares = [math.exp(rows.cosine(i, j) / temperature) / every for j in one_class]
        losses.append(-math.log(mean(shares)) if sum_inside else -mean([math.log(one) for one in shares]))
    return mean(losses)


def decoupled(rows: Rows, temperature: float) -> float:
    losses = []
    for i, p in rows.pairs_of_positives():
        negatives = sum(math.exp(rows.cosine(i, k) / temperature) for k in rows.negatives(i))
        losses.append(-rows.cosine(i, p) / temperature + math.log(negatives))
    return mean(losses)


def debiased(rows: Rows, temperature: float, prior: float, hardness: float) -> float:
    losses = []
    for i, p in rows.pairs_of_positives():
        x = {j: math.exp(rows.cosine(i, j) / temperature) for j in rows.z}

        def weighted(chosen: list[Row], x: dict[Row, float] = x) -> float:
            return sum(x[j] * x[j] ** hardness for j in chosen) / sum(x[j] ** hardness for j in chosen)

        negatives = rows.negatives(i)
        rest = (weighted(negatives) - prior * weighted(rows.positives(i))) / (1 - prior)
        g = max(rest, math.exp(-1 / temperature))
        losses.append(-math.log(x[p] / (x[p] + len(negatives) * g)))
    return mean(losses)


def barlow_twins(projections: torch.Tensor, weight: float) -> float:
    views, pairs, dimensions = projections.shape
    losses = []
    for one, other in combinations(range(views), 2):
        a, b = projections[one], projections[other]
        loss = 0.0
        for i in range(dimensions):
            for j in range(dimensions):
                x, y = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
                # With the epsilon of the authors' batch normalisation.
                norms = (x.square().sum() / pairs + 1e-5) * (y.square().sum() / pairs + 1e-5)
                c = float((x * y).sum() / pairs / norms.sqrt())
                loss += (1 - c) ** 2 if i == j else weight * c**2
        losses.append(loss)
    return mean(losses)


def vicreg(projections: torch.Tensor, weights: tuple[float, float, float]) -> float:
    views, pairs, dimensions = projections.shape

    def variance(z: torch.Tensor) -> float:
        deviations = [math.sqrt(float(z[:, j].var()) + 1e-4) for j in range(dimensions)]
        return sum(max(0.0, 1 - one) for one in deviations) / dimensions

    def covariance(z: torch.Tensor) -> float:
        centred = z - z.mean(0)
        c = sum(torch.outer(row, row) for row in centred) / (pairs - 1)
        assert isinstance(c, torch.Tensor)
        return (
            sum(float(c[i, j]) ** 2 for i in range(dimensions) for j in range(dimensions) if i != j)
            / dimensions
        )

    losses = []
    for one, other in combinations(range(views), 2):
        a, b = projections[one], projections[other]
        invariance = float((a - b).square().sum()) / pairs / dimensions
        losses.append(
            weights[0] * invariance
            + weights[1] * (variance(a) + variance(b)) / 2
            + weights[2] * (covariance(a) + covariance(b))
        )
    return mean(losses)
