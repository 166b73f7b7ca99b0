"""Several processes that share a batch: gradients, losses and all that is kept are those of one process."""

import json
from pathlib import Path

import pytest

from tests.models.methods.shared_steps import CONFIGS, compare, every_objective
from tests.processes import start


@pytest.mark.parametrize("processes", [2, 3])
def test_every_objective_learns_from_a_shared_batch_as_from_a_whole_one(
    processes: int, tmp_path: Path
) -> None:
    assert {config.name for config in CONFIGS.values()} == every_objective()  # type: ignore[attr-defined]
    started = [start(tmp_path / str(rank), compare, rank, processes, tmp_path) for rank in range(processes)]
    for one in started:
        assert one.wait() == 0, one.said
    differences = json.loads((tmp_path / "differences.json").read_text())
    assert [max(values) for values in differences["torch.float64"].values() if max(values) > 1e-10] == []
    first_steps = {name: values[0] for name, values in differences["torch.float32"].items()}
    del first_steps[
        "nt_xent, timm"
    ]  # in float32, a network with max pooling is off by as much in one process
    assert max(first_steps.values()) < 1e-5, first_steps
