"""What a trial gets of the machines: CPU cores, GPUs and memory, and how many trials run at once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, field_validator

from echopair.pipeline.errors import UserError
from echopair.pipeline.ray_nodes import Node

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
        allow_inf_nan=False,
        ge=0,
        description="GPUs of a trial, below 1 to share one; by default 1 where the training runs on cuda, else 0",
    )
    trials_at_once: int | None = Field(
        None, ge=1, description="by default as many as the CPUs and GPUs allow"
    )
    memory_gb_per_trial: float | None = Field(
        None,
        allow_inf_nan=False,
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
class Resources:
    """What a trial gets.

    Args:
        gpus: GPUs; below 1 a part of one.
    """

    cpus: int
    gpus: float
    at_once: int
    memory_bytes: int


def resolve_resources(config: ResourcesConfig, nodes: Sequence[Node], wants_gpu: bool) -> Resources:
    """Share out what there is.

    Raises:
        UserError: more is asked for than there is.
    """
    at_once, cpus = config.trials_at_once, config.cpus_per_trial or 1
    gpus = config.gpus_per_trial if config.gpus_per_trial is not None else float(wants_gpu)
    memory = round((config.memory_gb_per_trial or 0) * 1e9)

    def fits(cpus: int) -> int:
        return sum(node.fits(cpus, gpus, memory) for node in nodes)

    if fits(cpus) < (at_once or 1):
        asked = {
            "trials_at_once": at_once or 1,
            "cpus_per_trial": cpus,
            "gpus_per_trial": gpus,
            "memory_gb_per_trial": memory / 1e9,
        }
        text = ", ".join(f"{key}={number:g}" for key, number in asked.items() if number)
        default = " (one GPU each is the default where pretrain.device is cuda)" if wants_gpu else ""
        raise UserError(
            f"sweep.resources: {text}{default} is more than there is: {_described(nodes)} can hold {fits(cpus)}; ask "
            "for fewer trials at once, or for less each"
            + (", or train with pretrain.device=cpu" if gpus else "")
        )
    if config.cpus_per_trial is None and (at_once is not None or gpus > 0):
        wanted = at_once or fits(1)
        cpus = max(count for count in range(1, max(node.cpus for node in nodes) + 1) if fits(count) >= wanted)
    at_once = at_once or fits(cpus)
    if not memory:
        together = [(node, min(node.fits(cpus, gpus, 0), at_once)) for node in nodes]
        memory = min(int(SHARE_OF_MEMORY * node.memory_bytes / trials) for node, trials in together if trials)
    return Resources(cpus, gpus, at_once, memory)


def memory_share(resources: Resources, nodes: Sequence[Node]) -> int:
    """What Ray is asked to keep for a trial, bytes: the most with which so many trials fit at once, and hardly more.

    This limits how many members of a population run at once, all of which have begun.

    Args:
        resources: of a trial, from `resolve_resources` of the same machines.
    """

    def fit(memory: int) -> list[int]:
        return [node.fits(resources.cpus, resources.gpus, memory) for node in nodes]

    most = zip(nodes, fit(resources.memory_bytes), strict=True)
    shares = {node.memory_bytes // count for node, trials in most for count in range(1, trials + 1)}
    return max(
        share for share in shares if share >= resources.memory_bytes and sum(fit(share)) >= resources.at_once
    )


def _described(nodes: Sequence[Node]) -> str:
    return " and ".join(
        f"{'this machine' if len(nodes) == 1 else f'{count} of {len(nodes)} nodes'} with {node.cpus} CPU, "
        f"{node.gpus} GPU and {node.memory_bytes / 1e9:.1f} GB"
        for node, count in Counter(nodes).items()
    )
