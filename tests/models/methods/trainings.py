"""Small trainings of a method on random log-mels, without the loop."""

from collections.abc import Iterator

import torch

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.methods import Batch, LearningData, Method, MethodConfig, StepOutput
from echopair.models.projection import ProjectionConfig

SEGMENTS = 24


def build(config: MethodConfig, encoder: torch.nn.Module | None = None) -> Method:
    """The method with a small encoder, in train mode; equal configs give equal weights."""
    torch.manual_seed(0)
    encoder = encoder or build_encoder(ResNetConfig(width=8, stem="patch", blocks=(1,)))
    method = config.build(encoder, ProjectionConfig(projection_dim=16), LearningData(SEGMENTS))  # type: ignore[arg-type]
    method.modules.train()
    return method


def batches(steps: range, noise: float = 0.3, pairs: int = 8, views: int = 2) -> Iterator[tuple[int, Batch]]:
    """Steps and their batches: views are a segment's log-mel and noise."""
    log_mels = torch.randn(SEGMENTS, 1, 16, 24, generator=torch.Generator().manual_seed(5)).cumsum(2) / 2
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randperm(SEGMENTS, generator=generator)[:pairs]
        noises = torch.randn(views, pairs, 1, 16, 24, generator=generator)
        yield (
            step,
            Batch(list(log_mels[chosen] + noise * noises), chosen // 2, None, generator, segments=chosen),
        )


def sgd(method: Method, rate: float = 0.05) -> torch.optim.Optimizer:
    trained = [parameter for parameter in method.modules.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, rate, momentum=0.9)


def train(
    method: Method,
    optimiser: torch.optim.Optimizer,
    steps: int,
    first: int = 0,
    **of_batches: float,
) -> list[StepOutput]:
    """Train from step `first` up to `steps`."""
    outputs = []
    for step, batch in batches(range(first, steps), **of_batches):  # type: ignore[arg-type]
        loss, metrics = method.training_step(batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        method.after_step(step, steps)
        outputs.append(StepOutput(loss.detach(), metrics))
    return outputs
