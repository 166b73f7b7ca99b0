"""Embeds recordings on all nodes of a Ray cluster: a part of the table is a task."""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.corpora.recording import Recording
from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.errors import UserError
from echopair.pipeline.prepare import PrepareConfig
from echopair.pipeline.ray_cluster import RayConfig, connect
from echopair.pipeline.ray_nodes import Node, check_nodes
from echopair.pipeline.ray_tasks import run_tasks
from echopair.pipeline.table_parts import Parts, Windows
from echopair.pipeline.workers import Workers

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoder

PARTS_PER_SLOT = 2  # one is made and one waits


def make_parts(
    config: RayConfig,
    parts: Parts,
    groups: Sequence[tuple[int, list[Recording]]],
    encoder: Path,
    windows: Windows,
    embed: EmbedConfig,
) -> Iterator[tuple[int, float]]:
    """Make the parts of a table on the nodes of a cluster, each with all CPUs of a node, or with one GPU.

    Args:
        config: of the cluster.
        parts: of the table, in a folder that all nodes see.
        groups: number and recordings of each part.
        encoder: its folder, on this machine.
        windows: of each recording.
        embed: device, precision and batch size.

    Yields:
        The number of recordings of each part, and seconds of sound in it.

    Raises:
        UserError: the cluster cannot be joined, or a node cannot work for this process.
    """
    copy = parts.folder / "encoder"
    shutil.rmtree(copy, ignore_errors=True)  # of a killed process
    shutil.copytree(encoder, copy)
    with connect(config, parts.folder) as nodes:
        local = (one for _, group in groups for one in group if one.remote is None)
        check_nodes(parts.folder, [one.path.absolute() for one in itertools.islice(local, 1)])
        cpus, gpus, at_once = _resources(nodes, embed)
        calls = ((len(group), (parts, number, group, copy, windows, embed, cpus)) for number, group in groups)
        yield from run_tasks(
            _make_part, calls, PARTS_PER_SLOT * at_once, what="a part of the table", cpus=cpus, gpus=gpus
        )


def _resources(nodes: Sequence[Node], embed: EmbedConfig) -> tuple[int, int, int]:
    """CPUs and GPUs of a part, and how many are made at once; where a node has GPUs, they alone embed."""
    gpus = int(embed.device != "cpu" and any(node.gpus for node in nodes))
    useful = [node for node in nodes if node.cpus and (node.gpus or not gpus)]
    if not useful:
        raise UserError(
            "ray.address: no node has a CPU for tasks; add one by `ray start --address=HOST:PORT`"
        )
    cpus = min(max(node.cpus // max(node.gpus * gpus, 1), 1) for node in useful)
    return cpus, gpus, sum(node.fits(cpus, gpus, 0) for node in useful)


def _make_part(
    parts: Parts,
    number: int,
    group: Sequence[Recording],
    encoder: Path,
    windows: Windows,
    embed: EmbedConfig,
    cpus: int,
) -> float:
    """Make a part, in a worker process of Ray; returns seconds of sound."""
    loaded, workers = _tools(encoder, embed, cpus)
    return parts.make(number, group, workers, loaded, windows, embed, lambda _share: None)


@cache
def _tools(encoder: Path, embed: EmbedConfig, cpus: int) -> "tuple[AudioEncoder, Workers]":
    """Kept from one part to the next; the workers end with this process."""
    loaded = load_encoder(encoder, embed).folded()
    rate = loaded.config.log_mel.sample_rate_hz
    return loaded, Workers(cpus, rate, PrepareConfig().min_seconds)
