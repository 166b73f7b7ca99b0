"""Crops cover a clip, and their embeddings are pooled whatever their order."""

import pytest
import torch

from echopair.models.clip_crops import ClipPool, crop_starts


@pytest.mark.parametrize(
    ("samples", "starts"),
    [(1, [0]), (10, [0]), (12, [0, 2]), (15, [0, 5]), (20, [0, 5, 10]), (23, [0, 5, 10, 13])],
)
def test_crops_cover_the_clip_and_end_with_it(samples: int, starts: list[int]) -> None:
    assert crop_starts(samples, 10, 5).tolist() == starts


def test_a_pool_may_be_filled_in_any_order() -> None:
    crops = torch.randn(6, 4)
    clips = torch.tensor([0, 1, 0, 1, 0, 1])
    pool = ClipPool(2, 4)
    pool.add(crops[:1], clips[:1])
    pool.add(crops[1:], clips[1:])
    torch.testing.assert_close(pool.result()[1], torch.cat([crops[1::2].mean(0), crops[1::2].amax(0)]))
