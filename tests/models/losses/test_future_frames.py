import math

import pytest
import torch

from echopair.models.losses.future_frames import future_frames


def inputs() -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    return frames, [torch.randn(3, 5 - k, 4, generator=generator, dtype=torch.float64) for k in (1, 2)]


def test_is_equation_4_of_the_paper_term_by_term() -> None:
    frames, predictions = inputs()
    means = []
    for k, predicted in enumerate(predictions, start=1):
        terms = []
        for clip in range(3):
            for t in range(5 - k):
                candidates = [(n, time) for n in range(3) for time in range(k, 5)]
                scores = {own: math.exp(float(predicted[clip, t] @ frames[own])) for own in candidates}
                terms.append(-math.log(scores[clip, t + k] / sum(scores.values())))
        means.append(sum(terms) / len(terms))
    assert future_frames(frames, predictions)[0].item() == pytest.approx(sum(means) / 2, rel=1e-9)


def test_uninformative_predictions_are_chance_and_perfect_ones_are_right() -> None:
    frames, _ = inputs()
    loss, _ = future_frames(frames, [torch.zeros(3, 4, 4, dtype=torch.float64)])
    assert loss.item() == pytest.approx(math.log(3 * 4))
    own = torch.eye(3 * 5).view(3, 5, 15)
    loss, accuracy = future_frames(own, [1000 * own[:, 1:]])
    assert loss == 0
    assert accuracy == 1
    assert future_frames(own, [-1000 * own[:, 1:]])[0].isfinite()


def test_its_gradient_is_right() -> None:
    frames, predictions = inputs()
    leaves = [one.requires_grad_() for one in (frames, *predictions)]
    assert torch.autograd.gradcheck(lambda z, *p: future_frames(z, p)[0], leaves)


def test_more_steps_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="2 steps cannot be predicted in 2 frames"):
        future_frames(torch.ones(3, 2, 4), [torch.ones(3, 1, 4)] * 2)
