import copy

import pytest
import torch

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.encoders.base import Encoder
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.methods.encoding import encode, feature_maps


def encoder() -> Encoder:
    torch.manual_seed(0)
    return build_encoder(ResNetConfig(width=8, blocks=(1,))).double()


def views(count: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, 1, 16, t, generator=generator, dtype=torch.float64) for t in (32, 32, 24)]


@pytest.mark.parametrize("at_once", [2, 5, 12])
def test_chunks_give_the_loss_and_every_gradient_of_the_whole_batch(at_once: int) -> None:
    one = encoder().eval()  # no statistics of chunks
    loss = nt_xent(encode(one, views()), 0.2)
    expected = torch.autograd.grad(loss, list(one.parameters()))
    chunked = nt_xent(encode(one, views(), at_once), 0.2)
    torch.testing.assert_close(chunked, loss)
    for got, gradient in zip(torch.autograd.grad(chunked, list(one.parameters())), expected, strict=True):
        torch.testing.assert_close(got, gradient, rtol=1e-9, atol=1e-12)
    for got, whole in zip(feature_maps(one, views(), at_once), feature_maps(one, views()), strict=True):
        torch.testing.assert_close(got, whole)


def test_batch_normalisation_sees_each_chunk_once() -> None:
    one = encoder().train()
    other = copy.deepcopy(one)
    flat = torch.cat(views()[:2])
    encode(one, views()[:2], 4).sum().backward()
    torch.cat([other(chunk) for chunk in flat.split(4)]).sum().backward()
    torch.testing.assert_close(one.state_dict(), other.state_dict())
    for got, expected in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad)


def test_nothing_of_the_chunks_is_kept_for_the_backward_pass() -> None:
    one, held = encoder(), []
    sizes: list[int] = []

    def pack(value: torch.Tensor) -> torch.Tensor:
        held.append(value.numel())
        return value

    for at_once in (None, 2):
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            encode(one, views(), at_once)
        sizes.append(sum(held))
    assert sizes[1] < sizes[0] / 10
