import itertools
import multiprocessing
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from echopair.pipeline.prepare import PrepareConfig
from echopair.pipeline.stages import (
    digest_files,
    fingerprint,
    locked,
    locked_if_free,
    read_done,
    stage_work,
    write_atomically,
)


def test_fingerprints_are_equal_for_equal_parts_alone() -> None:
    assert fingerprint("a", {"x": 1, "y": [2]}) == fingerprint("a", {"y": [2], "x": 1})
    assert fingerprint("a", {"x": 1}) != fingerprint("a", {"x": 1.5})
    assert fingerprint("ab") != fingerprint("a", "b")
    assert fingerprint(PrepareConfig()) != fingerprint(PrepareConfig(min_seconds=1))


def test_a_stage_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    with stage_work(folder, "key") as work:
        (work.folder / "output").write_text("x")
        assert not folder.exists()
        work.finish("digest", clips=3)
    done = read_done(folder)
    assert done is not None
    assert (done.digest, done.marker["clips"], done.marker["fingerprint"]) == ("digest", 3, "key")
    assert (folder / "output").read_text() == "x"
    assert not folder.with_name("stage.partial").exists()


def test_a_stage_that_fails_leaves_nothing_that_counts(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    with pytest.raises(ZeroDivisionError), stage_work(folder, "key") as work:
        (work.folder / "output").write_text("half")
        raise ZeroDivisionError
    assert read_done(folder) is None
    with stage_work(folder, "key") as work:
        assert not (work.folder / "output").exists()
        work.finish("digest")


def test_what_a_killed_process_left_is_removed_under_the_hands_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    sub = folder.with_name("stage.partial") / "kind"
    sub.mkdir(parents=True)
    stop = time.monotonic() + 0.5

    def write() -> None:
        with suppress(FileNotFoundError):  # the folder is gone
            for number in itertools.count():
                if time.monotonic() > stop:
                    return
                (sub / str(number)).touch()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    with stage_work(folder, "key") as work:
        assert not list(work.folder.iterdir())
        work.finish("digest")
    for writer in writers:
        writer.join()


def test_partial_output_is_handed_on_where_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    with pytest.raises(KeyboardInterrupt), stage_work(folder, "key", keep_partial=True) as work:
        (work.folder / "checkpoint").write_text("step 10")
        raise KeyboardInterrupt
    with stage_work(folder, "key", keep_partial=True) as work:
        assert (work.folder / "checkpoint").read_text() == "step 10"
        work.finish("digest")


def test_a_damaged_marker_is_no_marker(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text('{"fingerprint": "ab')
    assert read_done(tmp_path) is None


def hold(folder: Path, seconds: float) -> None:
    with locked(folder):
        (folder.parent / "held").touch()
        time.sleep(seconds)
        (folder.parent / "released").touch()


def test_a_second_process_waits(tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path / "stage", 0.5))
    other.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with locked(tmp_path / "stage"):
        assert (tmp_path / "released").exists()
    other.join()


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")
    write_atomically(file, b"new")
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_digest_is_of_content(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    assert digest_files(tmp_path / "a") == digest_files(tmp_path / "b") != digest_files(tmp_path / "c")


def test_a_folder_that_another_holds_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "encoders" / "one"
    with locked(folder), locked_if_free(folder) as free:
        assert not free
    with locked_if_free(folder) as free, locked_if_free(folder) as again:
        assert (free, again) == (True, False)
