import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from echopair.models.projection import ProjectionConfig, projection_head


def embeddings(batch: int, dim: int) -> Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(0))


def seeded_head(config: ProjectionConfig, embedding_dim: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    return projection_head(config, embedding_dim)


@pytest.mark.parametrize(
    ("config", "hidden_dim", "projection_dim"),
    [
        (ProjectionConfig(), 32, 128),
        (ProjectionConfig(hidden_dim=48), 48, 128),
        (ProjectionConfig(projection_dim=16), 32, 16),
    ],
)
def test_shapes(config: ProjectionConfig, hidden_dim: int, projection_dim: int) -> None:
    head = seeded_head(config)
    assert head(embeddings(4, 32)).shape == (4, projection_dim)
    assert [tuple(p.shape) for p in head.parameters() if p.ndim == 2] == [
        (hidden_dim, 32),
        (projection_dim, hidden_dim),
    ]


def test_is_two_dense_layers_around_a_normalised_rectifier() -> None:
    head = seeded_head(ProjectionConfig()).train()
    embedding = embeddings(16, 32)
    first, second = (module for module in head.modules() if isinstance(module, nn.Linear))
    hidden = embedding @ first.weight.T
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(head(embedding), expected, rtol=1e-4, atol=1e-5)


def test_keeps_its_input_and_gradient_reaches_every_parameter() -> None:
    head = seeded_head(ProjectionConfig())
    embedding = embeddings(8, 32)
    (head(embedding) * torch.linspace(-1, 1, 128)).square().sum().backward()
    assert torch.equal(embedding, embeddings(8, 32))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_eval_repeats_and_does_not_mix_the_batch() -> None:
    head = seeded_head(ProjectionConfig()).eval()
    embedding = embeddings(8, 32)
    torch.testing.assert_close(head(embedding)[:1], head(embedding[:1]))


@pytest.mark.parametrize("values", [{"projection_dim": 1}, {"hidden_dim": 0}, {"hiden_dim": 64}])
def test_config_errors_name_the_key(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        ProjectionConfig.model_validate(values)
