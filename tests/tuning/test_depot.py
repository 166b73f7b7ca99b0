import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import MARKER_FILE, locked
from echopair.tuning.depot import (
    PIECE_BYTES,
    Changed,
    Depot,
    Stamp,
    check_room,
    check_space,
    copy_changes,
    copy_folder,
    make_node_folder,
    remove_node_folder,
)

STAGE = "encoders/resnet-1"


@pytest.fixture
def depots(tmp_path: Path) -> tuple[Depot, Depot]:
    for side in ("near", "far"):
        (tmp_path / side).mkdir()
    return Depot(tmp_path / "near"), Depot(tmp_path / "far")


def write(depot: Depot, folder: str, **files: bytes) -> None:
    for name, content in files.items():
        file = depot.root / folder / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_a_folder_arrives_whole_with_its_times(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    large = os.urandom(2 * PIECE_BYTES + 1)
    write(near, STAGE, done_json=b"{}", encoder__weights=large, empty=b"")
    assert copy_folder(near, far, STAGE, "7")
    assert contents(far.root) == contents(near.root)
    assert far.listing(STAGE) == near.listing(STAGE)
    assert not copy_folder(near, far, "encoders/none", "7")


def test_files_that_are_not_wanted_stay(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    write(near, STAGE, done_json=b"{}", checkpoints__latest_pt=b"weights")
    copy_folder(near, far, STAGE, "7", lambda name: not name.startswith("checkpoints/"))
    assert set(contents(far.root)) == {f"{STAGE}/{MARKER_FILE}"}


def test_only_what_changed_is_copied(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    write(near, STAGE, plan_json=b"{}", metrics_jsonl=b"1\n")
    copy_changes(near, far, STAGE, "7")
    before = (far.root / STAGE / "plan.json").stat().st_ino
    write(near, STAGE, metrics_jsonl=b"1\n2\n")
    copy_changes(near, far, STAGE, "7")
    assert contents(far.root) == contents(near.root)
    assert (far.root / STAGE / "plan.json").stat().st_ino == before


def test_a_file_that_counts_on_others_comes_after_them(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    order: list[str] = []

    class Noting(Depot):
        def update(self, folder: str, sender: str, stamps: dict[str, Stamp]) -> bool:
            order.extend(stamps)
            return super().update(folder, sender, stamps)

    write(near, STAGE, checkpoints__latest_pt=b"weights", metrics_jsonl=b"1\n", plan_json=b"{}")
    copy_changes(near, Noting(far.root), STAGE, "7", last="checkpoints/latest.pt")
    assert order == ["metrics.jsonl", "plan.json", "checkpoints/latest.pt"]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "", "link/file"])
def test_nothing_outside_is_given_or_taken(depots: tuple[Depot, Depot], name: str) -> None:
    depot, _ = depots
    outside = depot.root.with_name("outside")
    outside.mkdir()
    (outside / "file").write_text("secret")
    (depot.root / "link").symlink_to(outside)
    for attempt in (
        lambda: depot.listing(name),
        lambda: depot.read(name, "file", Stamp(6, 0), 0),
        lambda: depot.write(name, "7", "file", 0, b"changed"),
        lambda: depot.remove(name),
    ):
        with pytest.raises(UserError):
            attempt()
    assert contents(outside) == {"file": b"secret"}


def test_a_link_in_a_folder_is_named(depots: tuple[Depot, Depot]) -> None:
    depot, _ = depots
    write(depot, STAGE, plan_json=b"{}")
    (depot.root / STAGE / "there").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"resnet-1/there leads out of .* no links"):
        depot.listing(STAGE)


def test_a_file_that_changes_while_it_is_copied_is_copied_again(depots: tuple[Depot, Depot]) -> None:
    near, far = depots

    class Growing(Depot):
        times = 1

        def read(self, folder: str, name: str, stamp: Stamp, start: int) -> bytes:
            if start and self.times:
                self.times -= 1
                write(near, STAGE, file=b"new")
            return super().read(folder, name, stamp, start)

    write(near, STAGE, file=bytes(PIECE_BYTES + 1))
    copy_folder(Growing(near.root), far, STAGE, "7")
    assert contents(far.root) == {f"{STAGE}/file": b"new"}
    write(near, STAGE, file=bytes(PIECE_BYTES + 1))
    with pytest.raises(Changed, match="was changed"):
        copy_changes(Growing(near.root), far, STAGE, "7")
    assert (far.root / STAGE / "file").read_bytes() == b"new"
    far.clear()
    assert contents(far.root) == {f"{STAGE}/file": b"new"}
    assert not list((far.root / "encoders").glob(".*.7"))


def test_a_cut_file_is_never_brought_in(depots: tuple[Depot, Depot]) -> None:
    _, far = depots
    far.write(STAGE, "7", "file", 0, b"half")
    with pytest.raises(OSError, match="4 of 8 bytes"):
        far.place(STAGE, "7", {"file": Stamp(8, 0)})
    assert far.listing(STAGE) is None


def test_a_finished_stage_stays_as_it_is_and_ends_its_partial_folder(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    write(far, STAGE, done_json=b"first")
    write(far, f"{STAGE}.partial", metrics_jsonl=b"1\n")
    write(near, STAGE, done_json=b"second")
    copy_folder(near, far, STAGE, "7")
    assert contents(far.root / STAGE) == {MARKER_FILE: b"first"}
    assert not (far.root / f"{STAGE}.partial").exists()
    assert not list((far.root / "encoders").glob(".*.7"))


def test_a_folder_in_which_a_process_works_is_left_to_it(depots: tuple[Depot, Depot]) -> None:
    near, far = depots
    partial = f"{STAGE}.partial"
    write(near, partial, metrics_jsonl=b"theirs")
    write(far, partial, metrics_jsonl=b"ours")
    with locked(far.root / STAGE):
        copy_changes(near, far, partial, "7")
        assert contents(far.root / partial) == {"metrics.jsonl": b"ours"}
    copy_changes(near, far, partial, "7")
    assert contents(far.root / partial) == {"metrics.jsonl": b"theirs"}
    with (far.root / f"encoders/.{Path(STAGE).name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go


def test_a_node_s_folder_is_the_user_s_alone(tmp_path: Path) -> None:
    folder = make_node_folder(tmp_path / "disk", "sweep")
    assert folder == tmp_path / "disk" / "sweep"
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "clips").mkdir()
    assert make_node_folder(tmp_path / "disk", "sweep") == folder
    remove_node_folder(tmp_path / "disk", "sweep")
    remove_node_folder(tmp_path / "disk", "sweep")
    assert not list((tmp_path / "disk").iterdir())
    assert make_node_folder(None, f"echopair-test-{os.getpid()}").parent == Path(tempfile.gettempdir())
    remove_node_folder(None, f"echopair-test-{os.getpid()}")
    folder.symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"another user's; set ray\.node_folder"):
        make_node_folder(tmp_path / "disk", "sweep")
    with pytest.raises(UserError, match=r"cannot be made .* set ray\.node_folder"):
        make_node_folder(Path("/proc"), "sweep")


def test_clips_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    check_space(tmp_path, 1)
    with pytest.raises(UserError, match=r"needs 1000000000\.0; set ray\.node_folder"):
        check_space(tmp_path, 10**18)


def test_what_lies_in_a_node_s_folder_needs_no_room_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs 1000000000\.0; set ray\.node_folder"):
        check_room(tmp_path, "sweep", 10**18)
    with (tmp_path / "sweep" / "clips").open("wb") as file:
        file.truncate(10**12)  # takes no room
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path, "sweep", free + 10**11)
