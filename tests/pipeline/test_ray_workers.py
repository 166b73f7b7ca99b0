"""Decoding and embedding on the nodes of a real cluster: the same results as on one machine."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from echopair.pipeline import apply as apply_module
from echopair.pipeline import ray_workers
from echopair.pipeline.apply import apply
from echopair.pipeline.corpora import Recording
from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.ray_apply import _resources
from echopair.pipeline.ray_cluster import RayConfig
from echopair.pipeline.ray_nodes import Node
from echopair.pipeline.ray_workers import RayWorkers
from echopair.pipeline.stages import read_done
from echopair.pipeline.store import ClipStore
from echopair.pipeline.workers import SHARD_PREFIX
from tests.pipeline.conftest import RATE, write_tones
from tests.pipeline.decoding.bad_recordings import REFUSED
from tests.processes import start, start_echopair
from tests.ray_nodes import RayCluster, RayNode, descendants

CONFIG = PrepareConfig(max_refused_share=0.95)


def prepare_on(address: str, recordings: list[Recording], folder: Path) -> None:
    """In a process with the environment of the cluster."""
    ray_workers.RECORDINGS_PER_BLOCK = 4
    with RayWorkers(RayConfig(address=address), None, RATE, CONFIG.min_seconds, folder) as cluster:
        prepare("mixed", recordings, CONFIG, RATE, folder, cluster=cluster)


def mixed_recordings(folder: Path) -> Iterator[Recording]:
    """Tones, parts of one file, and what is refused before, while and because of decoding."""
    tones = write_tones(folder)
    yield Recording(folder / "gone.wav", "gone.wav")
    for number, (writer, _) in enumerate(REFUSED.values()):
        below = folder / f"bad-{number}"
        below.mkdir()
        path = writer(below)
        yield Recording(path, f"{below.name}/{path.name}")
        yield tones[number % len(tones)]
        yield Recording(
            tones[0].path, f"event {number}", ("event",), excerpt=(0.01 * number, 0.1 + 0.01 * number)
        )
    yield Recording(tones[0].path, "refused.wav", refusal="its row has no label")
    yield from tones


def test_the_store_and_the_report_equal_those_of_one_machine(ray_cluster: RayCluster, tmp_path: Path) -> None:
    sounds, alone, together = (tmp_path / name for name in ("sounds", "alone", "together"))
    for folder in (sounds, alone, together):
        folder.mkdir()
    recordings = list(mixed_recordings(sounds))
    process = start(
        tmp_path, prepare_on, ray_cluster.address, recordings, together, environment=ray_cluster.environment
    )
    figures = prepare("mixed", recordings, CONFIG, RATE, alone)
    assert figures["refused"] >= len(REFUSED) + 2
    assert process.wait(200) == 0, process.said
    stores = [ClipStore(folder, RATE) for folder in (alone, together)]
    first, second = (store.manifest.drop_columns(["shard", "offset"]) for store in stores)
    assert first.equals(second)
    for clip in range(len(stores[0])):
        np.testing.assert_array_equal(*(store.read(clip) for store in stores))
    assert (alone / "report.json").read_bytes() == (together / "report.json").read_bytes()
    assert set(stores[1].manifest["shard"].to_pylist()) == {0, 1}  # a process on each node
    assert not list(together.glob(f"{SHARD_PREFIX}*"))


def shards_of(node: RayNode, below: Path) -> list[Path]:
    """Shards below a folder that processes of a node have open."""
    found = []
    for process in descendants(node.process.pid):
        try:
            links = [link.readlink() for link in Path(f"/proc/{process}/fd").iterdir()]
        except OSError:  # it ended
            continue
        found += [link for link in links if link.is_relative_to(below) and link.name.startswith(SHARD_PREFIX)]
    return found


def test_a_node_that_is_lost_costs_its_blocks_alone(ray_cluster: RayCluster, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    long = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * 44100)
    soundfile.write(sounds / "0.wav", long, 44100)
    for number in range(1, 150):
        os.link(sounds / "0.wav", sounds / f"{number}.wav")
    arguments = ["prepare", "folder-unlabelled", f"corpora.recordings.root={sounds}"]
    node = ray_cluster.add_node()
    process = start_echopair(
        tmp_path,
        *arguments,
        f"work_folder={tmp_path / 'together'}",
        f"ray.address={ray_cluster.address}",
        "prepare.on_ray=true",
        environment=ray_cluster.environment,
    )
    deadline = time.monotonic() + 100
    while not shards_of(node, tmp_path):
        assert not process.ended, process.said
        assert time.monotonic() < deadline, process.said
        time.sleep(0.02)
    ray_cluster.kill(node)
    assert process.wait(200) == 0, process.said
    alone = start_echopair(tmp_path, *arguments, f"work_folder={tmp_path / 'alone'}")
    assert alone.wait(100) == 0, alone.said
    markers = [
        read_done(next((tmp_path / name / "clips").glob("recordings-*"))) for name in ("alone", "together")
    ]
    first, second = (done.marker for done in markers if done is not None)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert first["clips"] == 150


@pytest.mark.parametrize("command", ["prepare", "apply"])
def test_a_cluster_that_is_not_there_is_told_before_any_work(
    command: str, tones: list[Recording], encoder: Path, tmp_path: Path
) -> None:
    sounds = tones[0].path.parent
    settings = [
        f"corpora.recordings.root={sounds}",
        f"work_folder={tmp_path / 'work'}",
        "prepare.on_ray=true",
    ]
    arguments = {
        "prepare": ["folder-unlabelled", *settings, "ray.address=127.0.0.1:1"],
        "apply": [encoder, sounds, "--out", tmp_path / "t.parquet", "--ray-address", "127.0.0.1:1"],
    }
    process = start_echopair(tmp_path, command, *arguments[command])
    assert process.wait(60) == 2, process.said
    assert "ray.address=127.0.0.1:1: nothing answers there" in process.said
    assert time.monotonic() - process.began < 30


def apply_on(address: str | None, encoder: Path, recordings: Path, out: Path) -> None:
    """In parts of one recording each; in a process with the environment of the cluster."""
    apply_module.GROUP_RECORDINGS = 1
    apply(encoder, [recordings], out, ray=None if address is None else RayConfig(address=address))


def test_a_table_of_embeddings_equals_that_of_one_machine(
    ray_cluster: RayCluster, encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "sounds").mkdir()
    write_tones(tmp_path / "sounds", clips=6)
    (tmp_path / "sounds" / "bad.wav").write_text("no sound")
    processes = [
        start(
            tmp_path,
            apply_on,
            address,
            encoder,
            tmp_path / "sounds",
            tmp_path / f"{name}.parquet",
            environment=ray_cluster.environment | {"OMP_NUM_THREADS": "1"},
        )
        for name, address in (("alone", None), ("together", ray_cluster.address))
    ]
    for process in processes:
        assert process.wait(200) == 0, process.said
    alone, together = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("alone", "together"))
    assert alone.drop_columns("embedding").equals(together.drop_columns("embedding"))
    first, second = (np.stack(table["embedding"].to_numpy()) for table in (alone, together))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * np.abs(first).max())
    refused = [(tmp_path / f"{name}.refused.csv").read_text() for name in ("alone", "together")]
    assert refused[0] == refused[1]
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([Node(8, 0, 0), Node(4, 0, 0)], (4, 0, 3)),
        ([Node(8, 2, 0), Node(16, 0, 0)], (4, 1, 2)),
        ([Node(0, 0, 0), Node(2, 0, 0)], (2, 0, 1)),
    ],
)
def test_a_part_has_the_cpus_of_the_smallest_node_or_a_gpu(
    nodes: list[Node], expected: tuple[int, int, int]
) -> None:
    assert _resources(nodes, EmbedConfig()) == expected


def test_a_cluster_without_cpus_embeds_nothing() -> None:
    with pytest.raises(UserError, match="no node has a CPU"):
        _resources([Node(0, 0, 0)], EmbedConfig())
