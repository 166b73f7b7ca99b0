"""The nodes of a Ray cluster that was joined: what they have, and whether they can work for this process."""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echopair.pipeline.errors import UserError, listed

ANSWER_SECONDS = 60.0
# What decides samples and weights, and what runs on the nodes.
DISTRIBUTIONS = ("echopair", "ray", "numpy", "scipy", "soundfile", "soxr", "torch", "torchaudio")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Args:
        memory_bytes: free when Ray was started on it.
    """

    cpus: int
    gpus: int
    memory_bytes: int

    def fits(self, cpus: int, gpus: float, memory_bytes: int) -> int:
        """How many trials of this size fit at once."""
        counts = [self.cpus // cpus]
        if gpus:
            counts.append(self.gpus // int(gpus) if gpus >= 1 else self.gpus * math.floor(1 / gpus + 1e-9))
        if memory_bytes:
            counts.append(self.memory_bytes // memory_bytes)
        return min(counts)


def alive_nodes() -> list[Node]:
    """The nodes of the cluster that was joined."""
    import ray

    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(*(int(has.get(name, 0)) for name in ("CPU", "GPU", "memory"))) for has in alive]


def _addresses() -> dict[str, str]:
    """The address of each node by its id."""
    import ray

    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def check_nodes(folder: Path, files: Sequence[Path] = ()) -> None:
    """Ask each node of the cluster that was joined whether it can work for this process.

    Args:
        folder: existing, below the work folder; each node must read a file there and be able to write.
        files: that each node must see, such as recordings.

    Raises:
        UserError: a node does not, has other versions, or gives no answer.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    marker = folder / f".{secrets.token_hex(16)}"
    marker.touch()
    try:
        # A function within one is sent whole: it runs where echopair is missing.
        ask = ray.remote(num_cpus=0, max_retries=2)(_question())
        here = _question()(marker, list(files), DISTRIBUTIONS)
        asked = {
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                marker, list(files), DISTRIBUTIONS
            ): (node, address)
            for node, address in _addresses().items()
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
        if silent:
            raise UserError(
                f"ray.address: node {asked[silent[0]][1]} gives no answer within {ANSWER_SECONDS:g} s; look at `ray "
                "status`, and take it out of the cluster"
            )
        for one in answered:
            node, address = asked[one]
            try:
                answer = ray.get(one)
            except ray.exceptions.RayError as error:
                if node not in _addresses():  # lost since it was asked
                    continue
                reason = " ".join(str(error).split())[:300]
                raise UserError(
                    f"ray.address: node {address} cannot run anything ({reason}); repair it, or take it out of the "
                    "cluster"
                ) from error
            _check_answer(address, len(asked), folder, answer, here)
    finally:
        marker.unlink(missing_ok=True)


def _question() -> Any:
    def answer(marker: Path, files: list[Path], distributions: Sequence[str]) -> dict[str, Any]:
        import hashlib
        import os
        import platform
        import tempfile
        from importlib.metadata import PackageNotFoundError, version
        from importlib.util import find_spec

        versions = {"Python": platform.python_version()}
        for name in distributions:
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                versions[name] = "none"
        spec, code = find_spec("echopair"), hashlib.sha256()
        for root in (spec and spec.submodule_search_locations) or ():
            paths = (
                Path(parent, file) for parent, _, files in os.walk(root, followlinks=True) for file in files
            )
            for path in sorted(path for path in paths if path.suffix == ".py"):
                code.update(path.read_bytes())
        versions["code of echopair"] = code.hexdigest()[:8]
        problem = "" if marker.is_file() else "does not see"
        if not problem:
            try:
                with tempfile.TemporaryFile(dir=marker.parent):
                    pass
            except OSError:
                problem = "cannot write to"
        unseen = [str(file) for file in files if not file.exists()]
        return {"versions": versions, "problem": problem, "unseen": unseen}

    return answer


def _check_answer(
    address: str, nodes: int, folder: Path, answer: dict[str, Any], here: dict[str, Any]
) -> None:
    if other := [name for name, found in answer["versions"].items() if found != here["versions"][name]]:
        differ = ", ".join(
            f"{name} {answer['versions'][name]} instead of {here['versions'][name]}" for name in other
        )
        raise UserError(
            f"ray.address: node {address} has {differ}; install the same versions on all nodes (constraints.txt)"
        )
    if answer["problem"]:
        raise UserError(
            f"work_folder: node {address}, one of {nodes}, {answer['problem']} {folder}; set work_folder to a folder "
            "on storage that is mounted at the same path on every node, such as NFS, or leave out ray.address to run "
            "on this machine alone"
        )
    if unseen := [file for file in answer["unseen"] if file not in here["unseen"]]:
        raise UserError(
            f"node {address}, one of {nodes}, does not see {listed(unseen)}; put the recordings on storage that is "
            "mounted at the same path on every node"
        )
