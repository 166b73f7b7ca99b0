"""What a trial gets of the machines: CPU cores, GPUs and memory, and how many trials run at once."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, field_validator

from echopair.pipeline.errors import UserError

SHARE_OF_MEMORY = 0.8  # of a node's memory, for all its trials together


class ResourcesConfig(BaseModel, frozen=True, extra="forbid"):
    """What a trial gets, and how many run at once."""

    cpus_per_trial: int | None = Field(
        None,
        ge=1,
        description="CPU cores of a trial; by default the cores are shared out among the trials at once, and 1 where "
        "neither trials_at_once nor GPUs limit those",
    )
    gpus_per_trial: float | None = Field(
        None,
        ge=0,
        description="GPUs of a trial, below 1 to share one; by default 1 where the training runs on cuda, else 0",
    )
    trials_at_once: int | None = Field(
        None, ge=1, description="by default as many as the CPUs and GPUs allow"
    )
    memory_gb_per_trial: float | None = Field(
        None,
        gt=0,
        description="a trial that takes more fails alone; by default 0.8 of the memory, shared out among the trials "
        "at once",
    )

    @field_validator("gpus_per_trial")
    @classmethod
    def _shared_or_whole(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError(
                "a trial gets a part of one GPU or whole ones; take a number below 1 or a whole one"
            )
        return gpus


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Args:
        cpus: cores.
        gpus: GPUs.
        memory_bytes: free when Ray was started on it.
    """

    cpus: int
    gpus: int
    memory_bytes: int

    def fits(self, cpus: int, gpus: float, memory_bytes: int) -> int:
        """How many trials of this size it can hold."""
        counts = [self.cpus // cpus]
        if gpus >= 1:
            counts.append(self.gpus // int(gpus))
        elif gpus > 0:
            counts.append(self.gpus * math.floor(1 / gpus + 1e-9))
        if memory_bytes:
            counts.append(self.memory_bytes // memory_bytes)
        return min(counts)


@dataclass(frozen=True)
class Available:
    """What Ray has to give."""

    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> int:
        """Cores of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)


@dataclass(frozen=True)
class Resources:
    """What a trial gets.

    Args:
        cpus: cores.
        gpus: GPUs; below 1 a part of one.
        at_once: trials that run at once.
        memory_bytes: what a trial may take.
    """

    cpus: int
    gpus: float
    at_once: int
    memory_bytes: int


def resolve_resources(config: ResourcesConfig, available: Available, wants_gpu: bool) -> Resources:
    """Share out what there is.

    Args:
        config: what was asked for.
        available: what there is.
        wants_gpu: whether a training runs on CUDA.

    Raises:
        UserError: more is asked for than there is.
    """
    nodes = available.nodes
    gpus = config.gpus_per_trial if config.gpus_per_trial is not None else float(wants_gpu)
    memory = round((config.memory_gb_per_trial or 0) * 1e9)
    _check_a_trial_fits(config, nodes, gpus, memory)

    def fits(cpus: int) -> int:
        return sum(node.fits(cpus, gpus, memory) for node in nodes)

    at_once = config.trials_at_once
    cpus = config.cpus_per_trial or 1
    if fits(cpus) < (at_once or 1):
        size = [f"{cpus} CPU", f"{gpus:g} GPU" if gpus else "", f"{memory / 1e9:g} GB" if memory else ""]
        raise UserError(
            f"sweep.resources.trials_at_once={at_once or 1} with {', '.join(filter(None, size))} each is more than "
            f"there is: {_described(nodes)} can hold {fits(cpus)}; ask for fewer, or for less each"
        )
    if config.cpus_per_trial is None and (at_once is not None or gpus > 0):
        wanted = at_once or fits(1)
        cpus = max(count for count in range(1, max(node.cpus for node in nodes) + 1) if fits(count) >= wanted)
    at_once = at_once or fits(cpus)
    if not memory:
        together = [(node, min(node.fits(cpus, gpus, 0), at_once)) for node in nodes]
        memory = min(int(SHARE_OF_MEMORY * node.memory_bytes / trials) for node, trials in together if trials)
    return Resources(cpus, gpus, at_once, memory)


def memory_share(resources: Resources, available: Available) -> int:
    """What Ray is asked to keep for a trial, bytes: the most with which so many trials fit at once, and hardly more.

    Ray knows no number of trials at once for a population, whose members have all begun.

    Args:
        resources: of a trial, from `resolve_resources` of the same machines.
        available: what there is.
    """
    slots = [
        (node, node.fits(resources.cpus, resources.gpus, resources.memory_bytes)) for node in available.nodes
    ]
    shares = {node.memory_bytes // (n + 1) for node, most in slots for n in range(most)}

    def held(share: int) -> int:
        return sum(min(most, node.memory_bytes // share) for node, most in slots if most)

    return max(
        share for share in shares if share >= resources.memory_bytes and held(share) >= resources.at_once
    )


def _check_a_trial_fits(
    config: ResourcesConfig, nodes: Sequence[Node], gpus: float, memory_bytes: int
) -> None:
    most_cpus = max(node.cpus for node in nodes)
    if (config.cpus_per_trial or 1) > most_cpus:
        raise UserError(
            f"sweep.resources.cpus_per_trial={config.cpus_per_trial} is more than there is: {_described(nodes)}; "
            f"take at most {most_cpus}"
        )
    most_gpus = max(node.gpus for node in nodes)
    if gpus > most_gpus:
        reason = " (the default, since the training runs on cuda)" if config.gpus_per_trial is None else ""
        raise UserError(
            f"sweep.resources.gpus_per_trial={gpus:g}{reason} is more than there is: {_described(nodes)}; take at "
            f"most {most_gpus}, or train with pretrain.device=cpu"
        )
    most_memory = max(node.memory_bytes for node in nodes)
    if memory_bytes > most_memory:
        raise UserError(
            f"sweep.resources.memory_gb_per_trial={config.memory_gb_per_trial:g} is more than there is: "
            f"{_described(nodes)}; take at most {most_memory / 1e9:.1f}"
        )


def _described(nodes: Sequence[Node]) -> str:
    return " and ".join(
        f"{'this machine' if len(nodes) == 1 else f'{count} of {len(nodes)} nodes'} with {node.cpus} CPU, "
        f"{node.gpus} GPU and {node.memory_bytes / 1e9:.1f} GB"
        for node, count in Counter(nodes).items()
    )
