from typing import Any

import pytest
from pydantic import ValidationError

from echopair.pipeline.errors import UserError
from echopair.pipeline.ray_nodes import Node
from echopair.tuning.resources import (
    Resources,
    ResourcesConfig,
    memory_share,
    resolve_resources,
)

GB = 10**9
LAPTOP = [Node(4, 0, 10 * GB)]
SERVER = [Node(16, 4, 100 * GB)]
UNEQUAL = [Node(8, 2, 100 * GB), Node(2, 1, 10 * GB)]


@pytest.mark.parametrize(
    ("available", "wants_gpu", "asked", "expected"),
    [
        (LAPTOP, False, {}, Resources(1, 0, 4, 2 * GB)),
        (LAPTOP, False, {"trials_at_once": 2}, Resources(2, 0, 2, 4 * GB)),
        (LAPTOP, False, {"trials_at_once": 3}, Resources(1, 0, 3, 8 * GB // 3)),
        (LAPTOP, False, {"cpus_per_trial": 3}, Resources(3, 0, 1, 8 * GB)),
        (LAPTOP, False, {"memory_gb_per_trial": 4}, Resources(1, 0, 2, 4 * GB)),
        (SERVER, True, {}, Resources(4, 1, 4, 20 * GB)),
        (SERVER, True, {"trials_at_once": 1}, Resources(16, 1, 1, 80 * GB)),
        (SERVER, True, {"gpus_per_trial": 0.5}, Resources(2, 0.5, 8, 10 * GB)),
        (SERVER, True, {"gpus_per_trial": 0.3}, Resources(1, 0.3, 12, int(80 * GB / 12))),
        (SERVER, True, {"gpus_per_trial": 2}, Resources(8, 2, 2, 40 * GB)),
        (SERVER, True, {"gpus_per_trial": 0}, Resources(1, 0, 16, 5 * GB)),
        # A trial runs on one node: the small one holds a trial of 2 cores, whatever is free on the other.
        (UNEQUAL, True, {}, Resources(2, 1, 3, 8 * GB)),
    ],
)
def test_what_there_is_is_shared_out(
    available: list[Node], wants_gpu: bool, asked: dict[str, Any], expected: Resources
) -> None:
    assert resolve_resources(ResourcesConfig(**asked), available, wants_gpu) == expected


@pytest.mark.parametrize(
    ("available", "wants_gpu", "asked", "named"),
    [
        (LAPTOP, False, {"cpus_per_trial": 5}, "cpus_per_trial=5 .*this machine with 4 CPU.*can hold 0"),
        (LAPTOP, False, {"trials_at_once": 5}, "trials_at_once=5, cpus_per_trial=1 .*can hold 4"),
        (LAPTOP, False, {"gpus_per_trial": 1}, "gpus_per_trial=1 .*0 GPU"),
        (LAPTOP, True, {}, r"gpus_per_trial=1 \(one GPU each is the default.*pretrain.device=cpu"),
        (LAPTOP, False, {"memory_gb_per_trial": 11}, "memory_gb_per_trial=11 .*10.0 GB"),
        (UNEQUAL, True, {"gpus_per_trial": 2, "trials_at_once": 2}, "1 of 2 nodes .*can hold 1"),
    ],
)
def test_more_than_there_is_is_refused(
    available: list[Node], wants_gpu: bool, asked: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=f"sweep.resources: .*{named}"):
        resolve_resources(ResourcesConfig(**asked), available, wants_gpu)


def test_a_trial_gets_a_part_of_one_gpu_or_whole_ones() -> None:
    with pytest.raises(ValidationError, match="whole"):
        ResourcesConfig(gpus_per_trial=1.5)


@pytest.mark.parametrize("asked", [{}, {"trials_at_once": 1}, {"trials_at_once": 3, "cpus_per_trial": 1}])
@pytest.mark.parametrize("memory_gb", [None, 0.5, 2])
def test_as_many_trials_fit_into_the_memory_that_ray_keeps_for_each_as_are_to_run(
    asked: dict[str, Any], memory_gb: float | None
) -> None:
    for available, wants_gpu in ((LAPTOP, False), (SERVER, True)):
        resources = resolve_resources(
            ResourcesConfig(memory_gb_per_trial=memory_gb, **asked), available, wants_gpu
        )
        share = memory_share(resources, available)
        assert share >= resources.memory_bytes
        (node,) = available
        assert node.fits(resources.cpus, resources.gpus, share) == resources.at_once


def test_nodes_of_little_memory_and_many_gpus_are_not_left_out() -> None:
    available = [Node(8, 4, 10 * GB), Node(8, 0, 100 * GB)]
    resources = resolve_resources(ResourcesConfig(), available, wants_gpu=True)
    assert resources.at_once == 4
    assert (
        sum(
            node.fits(resources.cpus, resources.gpus, memory_share(resources, available))
            for node in available
        )
        == 4
    )
