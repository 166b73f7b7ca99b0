"""A sweep on real nodes, of which one sees nothing of the driver's disk; one dies."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import validated
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.run import RunResult, learn, prepare_corpora
from echopair.pipeline.stages import read_done
from echopair.pipeline.training.checkpoints import CHECKPOINT_FILE, METRICS_FILE
from echopair.tuning.trial_folder import CONFIG_FILE
from echopair.tuning.trials import Status, Trial
from tests.pipeline.test_run import write_config
from tests.tuning.conftest import RayCluster
from tests.tuning.test_cluster import HIDING, IN_ITS_OWN_MOUNTS, needs_mounts
from tests.tuning.test_courier import leftovers

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.nodes, needs_mounts]


ASKED = """
import sys
from pathlib import Path
from echopair.pipeline.errors import UserError
from echopair.tuning.cluster import RayConfig, ray_session
from echopair.tuning.config import compose_sweep
from echopair.tuning.courier import courier_for

address, file, sounds = sys.argv[1:]
plain = compose_sweep([file]).run
noisy = compose_sweep(
    [file, "augment.policy.augmentations=[{name: background_noise, folder: %s}]" % sounds]
).run
folder = plain.work_folder / "sweeps"
folder.mkdir(exist_ok=True)
with ray_session(RayConfig(address=address), folder):
    for run, storage in (
        (plain, {}),
        (plain, {"storage": "shared"}),
        (plain, {"node_folder": "/proc/none"}),
        (noisy, {}),
    ):
        try:
            with courier_for(RayConfig(address=address, **storage), run, folder, []) as courier:
                print("copied" if courier else "shared")
        except UserError as error:
            print(error)
"""


@dataclass
class Blind:
    """A cluster of which one node sees nothing of the driver's work folder."""

    cluster: RayCluster
    file: Path
    work: Path
    temporary: Path  # of that node

    def sweep(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                str(Path(sys.executable).with_name("echopair")),
                "sweep",
                str(self.file),
                f"ray.address={self.cluster.address}",
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=self.cluster.environment,
        )

    def trials(self, name: str) -> dict[int, Trial]:
        files = sorted(self.work.glob(f"sweeps/{name}-*/trials/*.json"))
        return {int(file.stem): Trial.model_validate_json(file.read_text()) for file in files}

    def check_on_one_machine(self, name: str) -> None:
        """Each trial's score and encoder are those of its run, bit for bit."""
        for number, trial in self.trials(name).items():
            assert trial.status == Status.FINISHED, trial.error
            (folder,) = self.work.glob(f"sweeps/{name}-*/trials/{number:05d}")
            values = yaml.safe_load((folder / CONFIG_FILE).read_text())
            assert values["work_folder"] == str(self.work)
            again = self.work.with_name("again")
            config = validated({**values, "work_folder": str(again)})
            result = RunResult(config)
            prepare_corpora(config, check(config, Stage.EVALUATE), result)
            with cpu_threads(config.threads):
                learn(config, Stage.VALIDATE, result)
            assert result.score == trial.score
            assert result.encoder is not None
            digests = [
                one.digest
                for side in (again, self.work)
                if (one := read_done(side / "encoders" / result.encoder.parent.name))
            ]
            assert len(digests) == 2
            assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blind]:
    folder = tmp_path_factory.mktemp("blind")
    file, work, temporary = write_config(folder), folder / "work", folder / "temporary"
    for made in (work, temporary):
        made.mkdir()
    cluster = RayCluster(Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))
    try:
        cluster.add_node()
        cluster.add_node([*IN_ITS_OWN_MOUNTS, HIDING, str(work), "env", f"TMPDIR={temporary}"])
        yield Blind(cluster, file, work, temporary)
    finally:
        cluster.close()


def test_what_the_nodes_cannot_do_is_said_before_any_trial(blind: Blind) -> None:
    sounds = blind.work / "sounds"
    sounds.mkdir()
    recording = next(blind.file.parent.glob("recordings/*/*.wav"))
    (sounds / "noise.wav").write_bytes(recording.read_bytes())
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, blind.cluster.address, str(blind.file), str(sounds)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=blind.cluster.environment,
    )
    copied, shared, no_place, no_sounds = asked.stdout.splitlines()
    assert copied == "copied"
    assert f"ray.storage=shared: not all 2 nodes of the cluster see {blind.work}/sweeps" in shared
    assert "/proc/none" in no_place
    assert "set ray.node_folder to another folder" in no_place
    assert "augment.policy: the sounds of a folder are not copied" in no_sounds
    assert not list(blind.temporary.glob("echopair-*"))


def test_a_sweep_uses_nodes_that_do_not_see_its_work_folder(blind: Blind) -> None:
    sweep = blind.sweep(
        "sweep.sweep_name=blind", "sweep.search={name: random, trials: 3}", "sweep.readings=2"
    )
    away, copies = set(), set()
    while sweep.poll() is None:
        away |= {folder.name for folder in blind.temporary.glob("echopair-*/trials/[!.]*")}
        with suppress(FileNotFoundError):
            copies |= {file.stat().st_ino for file in blind.temporary.glob("echopair-*/clips/*/done.json")}
        time.sleep(0.02)
    output, _ = sweep.communicate()
    assert sweep.returncode == 0, output
    assert "GB of clips are copied once to each other node (1)" in output
    assert len(away) >= 1, output
    assert len(copies) == 1
    blind.check_on_one_machine("blind")
    assert not list(blind.temporary.glob("echopair-*"))
    assert not leftovers(blind.work / "encoders", blind.work / "sweeps")


def test_a_trial_whose_node_dies_goes_on_on_another_one(blind: Blind) -> None:
    sweep = blind.sweep(
        "sweep.sweep_name=killed",
        "sweep.search={name: random, trials: 2}",
        "sweep.readings=6",
        "sweep.scheduler={name: fifo}",
        "pretrain.steps=240",
    )
    pushed: list[Path] = []
    while sweep.poll() is None and not pushed:
        away = {folder.name for folder in blind.temporary.glob("echopair-*/trials/*/encoders/*.partial")}
        pushed = [
            blind.work / "encoders" / name / METRICS_FILE
            for name in away
            if (blind.work / "encoders" / name / CHECKPOINT_FILE).is_file()
        ]
        time.sleep(0.02)
    assert pushed, sweep.communicate()[0]
    metrics = pushed[0].read_bytes()
    blind.cluster.kill(blind.cluster.nodes[1])
    output, _ = sweep.communicate()
    assert sweep.returncode == 0, output
    assert sorted(trial.attempts for trial in blind.trials("killed").values()) == [1, 2]
    training = pushed[0].parent.with_suffix("")
    assert (training / METRICS_FILE).read_bytes().startswith(metrics)
    blind.check_on_one_machine("killed")
    assert not leftovers(blind.work / "encoders", blind.work / "sweeps")
