"""The losses of MoCo and MoCHi: each query is to find its key among the keys of a queue."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.anchors import LOWEST
from echopair.models.losses.normalise import l2_normalise

# The similarity of what is no negative; with -inf, the gradient of a learned temperature would be NaN.
EXCLUDED = LOWEST


def key_similarities(
    queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, excluded: torch.Tensor
) -> torch.Tensor:
    """Cosine similarities of each query to its key and to the keys of a queue.

    Args:
        queries: (N, P), of any norm.
        keys: (N, P), of any norm; row n is the positive of query n.
        queue: (K, P), of any norm; negatives of all queries.
        excluded: (N, K) bool, which of the queue are no negatives of a query.

    Returns:
        (N, 1 + K), float32 (or float64 if all are) also under autocast: first the key's, then the queue's, the
        excluded ones EXCLUDED.
    """
    with torch.autocast(queries.device.type, enabled=False):
        q = l2_normalise(queries)
        positive = (q * l2_normalise(keys)).sum(1, keepdim=True)  # (N, 1)
        negative = (q @ l2_normalise(queue).T).masked_fill(excluded, EXCLUDED)  # (N, K)
        return torch.cat([positive, negative], dim=1)


def key_contrast(similarities: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Cross entropy of finding the key: He et al., "Momentum Contrast" (CVPR 2020), equation 1.

    Args:
        similarities: (N, 1 + K) float32 as of `key_similarities`.
        temperature: above 0; a scalar tensor has a gradient.

    Returns:
        Scalar float32; ln(1 + K) for equal similarities.
    """
    first = torch.zeros(len(similarities), dtype=torch.int64, device=similarities.device)
    return torch.nn.functional.cross_entropy(similarities / temperature, first)


def mix_hard_negatives(
    queries: torch.Tensor,
    queue: torch.Tensor,
    similarities: torch.Tensor,
    hardest: int,
    mixed: int,
    mixed_with_query: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Similarities of each query to negatives that are mixed from the hardest ones of the queue.

    Of two of the hardest, it is a n_i + (1 - a) n_j, scaled to norm 1, with a uniform in [0, 1); of one and the query,
    b q + (1 - b) n_j, scaled to norm 1, with b uniform in [0, 0.5). Like the queue, they are constants: the gradient
    reaches the query through its product with them alone.

    Args:
        queries: (N, P), of any norm.
        queue: (K, P), of any norm.
        similarities: (N, K) of queries and queue; those that are EXCLUDED are not mixed.
        hardest: most similar ones of the queue, for each query, that are mixed.
        mixed: how many mixtures of two negatives, for each query.
        mixed_with_query: how many mixtures of a negative and the query, for each query.
        generator: on the CPU.

    Returns:
        (N, mixed + mixed_with_query), float32 (or float64 if all are) also under autocast; EXCLUDED where there
        is nothing to be mixed.

    Source: Kalantidis et al., Hard Negative Mixing for Contrastive Learning, NeurIPS 2020, sections 4.1 and 4.2.
    """
    device = queries.device
    with torch.autocast(device.type, enabled=False):
        q = l2_normalise(queries)  # (N, P)
        with torch.no_grad():
            found = similarities.topk(min(hardest, similarities.shape[1]), dim=1)  # (N, H)
            negatives = (found.values > EXCLUDED / 2).sum(1, keepdim=True)  # (N, 1)

            def draw(number: int) -> torch.Tensor:
                return torch.rand((len(q), number), generator=generator).to(device, q.dtype)

            def pick(number: int) -> torch.Tensor:
                rank = (draw(number) * negatives).long()  # (N, number)
                return l2_normalise(queue)[found.indices.gather(1, rank)]  # (N, number, P)

            share = draw(mixed).unsqueeze(2)
            of_two = share * pick(mixed) + (1 - share) * pick(mixed)  # (N, S, P)
            share = 0.5 * draw(mixed_with_query).unsqueeze(2)
            with_query = share * q.unsqueeze(1) + (1 - share) * pick(mixed_with_query)  # (N, S', P)
            mixtures = l2_normalise(torch.cat([of_two, with_query], dim=1))
        return (mixtures @ q.unsqueeze(2)).squeeze(2).masked_fill(negatives == 0, EXCLUDED)
