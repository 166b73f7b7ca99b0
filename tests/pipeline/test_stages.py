import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline.prepare import PrepareConfig
from echopair.pipeline.stages import (
    StageOutput,
    digest_files,
    digest_values,
    locked,
    read_done,
    write_atomically,
)


def test_digests_are_equal_for_equal_values_alone() -> None:
    assert digest_values("a", {"x": 1, "y": [2]}) == digest_values("a", {"y": [2], "x": 1})
    assert digest_values("a", {"x": 1}) != digest_values("a", {"x": 1.5})
    assert digest_values("ab") != digest_values("a", "b")
    assert digest_values(PrepareConfig()) != digest_values(PrepareConfig(min_seconds=1))


def declared(tmp_path: Path, **settings: Any) -> StageOutput:
    return StageOutput("name it", tmp_path / "kind" / "stage", ["input"], 1, **settings)


def write(text: str) -> Callable[[Path], dict[str, Any]]:
    """Work that writes a text."""

    def work(folder: Path) -> dict[str, Any]:
        (folder / "output").write_text(text)
        return {"digest": text, "clips": 3}

    return work


def test_a_key_is_of_what_is_declared_alone(tmp_path: Path) -> None:
    stage = declared(tmp_path)
    assert declared(tmp_path / "elsewhere").key == stage.key
    others = [
        StageOutput("", tmp_path / "other" / "stage", ["input"], 1),
        StageOutput("", tmp_path / "kind" / "stage", ["other"], 1),
        StageOutput("", tmp_path / "kind" / "stage", ["input"], 2),
        declared(tmp_path, libraries=("pydantic",)),
    ]
    assert len({stage.key, *(other.key for other in others)}) == 5


def test_a_stage_appears_whole_and_once(tmp_path: Path) -> None:
    stage = declared(tmp_path)
    did: list[str] = []

    def work(folder: Path) -> dict[str, Any]:
        assert not stage.path.exists()
        return write("x")(folder)

    done = stage.make(work, did)
    assert (done.digest, done.marker["clips"], done.marker["key"]) == ("x", 3, stage.key)
    assert (stage.path / "output").read_text() == "x"
    assert [path.name for path in stage.path.parent.iterdir() if not path.name.startswith(".")] == [
        stage.path.name
    ]
    assert stage.make(write("other"), did) == done == read_done(stage.path)
    assert did == ["name it"]


def test_a_stage_that_fails_leaves_nothing_that_counts(tmp_path: Path) -> None:
    stage = declared(tmp_path)

    def fail(folder: Path) -> dict[str, Any]:
        write("half")(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.make(fail)
    assert read_done(stage.path) is None

    def work(folder: Path) -> dict[str, Any]:
        assert not (folder / "output").exists()
        return {"digest": "digest"}

    stage.make(work)


def test_what_a_killed_process_left_is_removed_while_its_workers_still_write(tmp_path: Path) -> None:
    stage = declared(tmp_path)
    sub = stage.path.with_name(stage.path.name + ".partial") / "kind"
    sub.mkdir(parents=True)
    stop = time.monotonic() + 0.5

    def leave() -> None:
        with suppress(FileNotFoundError):  # the folder is gone
            for number in itertools.count():
                if time.monotonic() > stop:
                    return
                (sub / str(number)).touch()

    writers = [threading.Thread(target=leave) for _ in range(3)]
    for writer in writers:
        writer.start()

    def work(folder: Path) -> dict[str, Any]:
        assert not list(folder.iterdir())
        return {"digest": "digest"}

    stage.make(work)
    for writer in writers:
        writer.join()


def test_partial_output_is_handed_on_where_declared(tmp_path: Path) -> None:
    stage = declared(tmp_path, keep_partial=True)

    def interrupted(folder: Path) -> dict[str, Any]:
        (folder / "checkpoint").write_text("step 10")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.make(interrupted)
    stage.make(lambda folder: {"digest": (folder / "checkpoint").read_text()})
    assert read_done(stage.path) is not None


def test_a_damaged_marker_is_no_marker(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text('{"key": "ab')
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
