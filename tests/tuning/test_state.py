import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from echopair.pipeline.errors import UserError
from echopair.tuning.config import SweepSettings
from echopair.tuning.sampler import build_sampler
from echopair.tuning.state import SweepState
from echopair.tuning.trials import IntermediateScore, Status
from tests.tuning.states import made_up, make_state, small_settings

# Holds the sweep in a folder and changes its trial 1 until it is killed.
OTHER_PROCESS = """
import sys
from pathlib import Path
from echopair.tuning.state import SweepState
state = SweepState.open(Path(sys.argv[1]))
with state.exclusive():
    state.fix_plan(steps=70)
    state.change(0, attempts=7)
    print("held", flush=True)
    for attempt in range(1000000):
        state.change(1, attempts=attempt, error="x" * 5000)
"""


@pytest.fixture
def settings(tmp_path: Path) -> SweepSettings:
    return small_settings(tmp_path / "work")


@pytest.fixture
def folder(tmp_path: Path, settings: SweepSettings) -> Path:
    """Of a sweep with three trials."""
    folder = tmp_path / "work" / "sweeps" / "some"
    make_state(
        folder,
        settings,
        made_up(0, Status.FINISHED, 0.5),
        made_up(1, Status.RUNNING),
        made_up(2, Status.WAITING, attempts=0),
    ).fix_plan(threads=2)
    return folder


def refusal(folder: Path) -> str:
    """What opening a sweep is refused with, at once."""
    started = time.process_time()
    with pytest.raises(UserError) as error:
        SweepState.open(folder)
    assert time.process_time() - started < 1
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_what_was_written_is_read_again(folder: Path, settings: SweepSettings) -> None:
    state = SweepState.open(folder)
    assert state.settings.key == settings.key
    assert state.settings.sweep == settings.sweep
    assert state.plan == {"threads": 2}
    assert [trial.status for trial in state.trials] == [Status.FINISHED, Status.RUNNING, Status.WAITING]
    changed = state.change(
        1,
        status=Status.DIVERGED,
        score=0.0,
        error="the loss was not finite at step 3",
        intermediate_scores=(IntermediateScore(milestone=1, step=10, score=float("nan"), seconds=1.5),),
        lineage=({"step": 0, "values": {"augment.policy": {"name": "all"}}},),
    )
    assert repr(SweepState.open(folder)[1]) == repr(changed)  # equal but for NaN, which equals nothing
    with pytest.raises(ValueError, match="trial 1 was proposed before"):
        state.propose(made_up(1, Status.WAITING))


def test_what_does_not_change_is_not_written(folder: Path) -> None:
    state = SweepState.open(folder)
    file = folder / "trials" / "00001.json"
    before = file.stat().st_ino
    state.change(1, status=Status.RUNNING)
    assert file.stat().st_ino == before
    state.change(1, status=Status.WAITING)
    assert file.stat().st_ino != before


def test_half_written_files_of_a_killed_process_are_ignored(folder: Path) -> None:
    (folder / "trials" / "00001.json.new").write_text('{"number": 1, "val')
    (folder / "trials" / "00003.json.new").write_text("")
    (folder / "sweep.yaml.new").write_text("format: echo")
    assert [trial.number for trial in SweepState.open(folder).trials] == [0, 1, 2]


def test_a_repeated_start_takes_what_changes_where_it_runs_and_keeps_the_rest(
    folder: Path, tmp_path: Path
) -> None:
    moved = small_settings(
        tmp_path / "work",
        "tracking.uri=http://127.0.0.1:5001",
        "sweep.resources.trials_at_once=1",
        "sweep.retries=0",
        "ray.address=auto",
        "prepare.on_ray=true",
        "run_name=other",
    )
    state = SweepState.create(folder, moved)
    with state.exclusive():
        pass
    for known in (state, SweepState.open(folder)):  # in memory, and for those who resume it
        assert known.settings.run.tracking.uri == "http://127.0.0.1:5001"
        assert known.settings.sweep.resources.trials_at_once == 1
        assert known.settings.sweep.retries == 0
        assert known.settings.run.ray.address == "auto"
        assert known.settings.run.prepare.on_ray
        assert known.plan == {"threads": 2}
        assert len(known.trials) == 3


def test_a_work_folder_may_be_moved_with_its_sweeps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere" / "sweeps")
    state = SweepState.open(Path("some"))
    assert state.settings.run.work_folder == tmp_path / "elsewhere"
    assert len(state.trials) == 3


def change_settings(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / "sweep.yaml"
        content = yaml.safe_load(file.read_text())
        change(content)
        file.write_text(yaml.safe_dump(content))

    return damage


def write_settings(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "sweep.yaml").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: os.truncate(folder / "sweep.yaml", 300), "sweep.yaml"),
        (write_settings(b""), "format"),
        (write_settings(b"\x00\xff\xfe"), "sweep.yaml"),
        (write_settings(b"format: [1"), "expected"),
        (write_settings(b"- 1"), "format"),
        (write_settings(b"format: echopair-sweep/2"), "'settings' is missing"),
        (write_settings(b"format: echopair-sweep/2\nsettings: [1]"), "it holds keys and values"),
        (change_settings(lambda content: content.update(format="echopair-sweep/9")), "format"),
        (change_settings(lambda content: content.pop("key")), "'key' is missing"),
        (change_settings(lambda content: content.update(plan=3)), "sweep.yaml"),
        (change_settings(lambda content: content["settings"]["sweep"].update(seed=9)), "changed"),
        (change_settings(lambda content: content["settings"]["run"].update(seed=-9)), "run.seed=-9"),
        (change_settings(lambda content: content["settings"]["sweep"].update(sed=9)), "sweep.sed"),
    ],
)
def test_damaged_or_changed_settings_are_refused_with_the_remedy(
    folder: Path, settings: SweepSettings, damage: Callable[[Path], object], reason: str
) -> None:
    damage(folder)
    message = refusal(folder)
    assert reason in message
    assert str(folder / "sweep.yaml") in message
    assert f"move {folder} away and start the sweep again" in message
    with pytest.raises(UserError, match="start the sweep again"):
        SweepState.create(folder, settings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"number": 1, "values": {"objective.temp',
        b"number: 1",
        b"[]",
        b"\xff\xfe\x00",
        made_up(0, Status.FINISHED, 0.5).model_dump_json().encode(),
        b'{"number": 1, "values": {}, "status": "asleep"}',
        b'{"number": 1, "values": {}, "colour": "red"}',
    ],
)
def test_a_damaged_trial_is_named_with_the_remedy(folder: Path, content: bytes) -> None:
    file = folder / "trials" / "00001.json"
    file.write_bytes(content)
    message = refusal(folder)
    assert f"{file} is damaged" in message
    assert "delete it" in message
    file.unlink()
    assert [trial.number for trial in SweepState.open(folder).trials] == [0, 2]


def test_a_trial_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / "trials" / "00009.json").mkdir()
    assert f"{folder / 'trials' / '00009.json'} is damaged" in refusal(folder)


def test_folders_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for other in (tmp_path / "file", tmp_path / "nowhere", tmp_path / "work", folder / "trials"):
        message = refusal(other)
        assert message.startswith(f"{other} is no sweep's folder")
        assert "below sweeps/" in message


def test_missing_trials_are_asked_for(folder: Path) -> None:
    (folder / "trials").rename(folder / "aside")
    assert f"{folder / 'trials'} is missing; restore it" in refusal(folder)
    (folder / "trials").mkdir()
    assert SweepState.open(folder).trials == []


def test_a_trial_whose_file_was_deleted_is_proposed_again(folder: Path, settings: SweepSettings) -> None:
    from echopair.tuning.ray_trials import StateSearcher

    sampler = build_sampler(settings.sweep.space, settings.sweep.search, settings.sweep.seed)
    (folder / "trials" / "00000.json").unlink()
    searcher = StateSearcher(SweepState.open(folder), sampler)
    suggested = [searcher.suggest("")["trial"] for _ in range(sampler.total)]
    assert sorted(suggested) == [*range(sampler.total)]
    assert SweepState.open(folder)[0].status == Status.WAITING


def test_the_best_trial_is_the_first_of_the_highest_score_that_finished(
    tmp_path: Path, settings: SweepSettings
) -> None:
    state = make_state(tmp_path, settings, made_up(0, Status.DIVERGED, 0.0), made_up(1, Status.STOPPED))
    state.propose(made_up(2, Status.FAILED))
    state.propose(made_up(3, Status.RUNNING))
    assert SweepState.open(tmp_path).best is None
    state.propose(made_up(4, Status.FINISHED, float("nan")))
    for number, score in ((7, 0.5), (6, 0.5), (5, 0.4)):
        state.propose(made_up(number, Status.FINISHED, score))
    assert state.best == state[6]
    state.propose(made_up(8, Status.FINISHED, 0.51))
    assert state.best == state[8]


def test_a_second_process_is_refused_and_a_killed_one_leaves_a_sound_sweep(folder: Path) -> None:
    before = SweepState.open(folder)
    command = [sys.executable, "-c", OTHER_PROCESS, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        started = time.process_time()
        with (
            pytest.raises(UserError, match=f"another process works on the sweep in {folder}"),
            before.exclusive(),
        ):
            pass
        assert time.process_time() - started < 1
        for _ in range(5):  # it writes all the while
            assert SweepState.open(folder)[1].attempts >= 0
        time.sleep(random.Random(0).uniform(0.01, 0.1))
        other.send_signal(signal.SIGKILL)
    with before.exclusive():
        # What it did since the sweep was read here is known, and not undone.
        assert before[0].attempts == 7
        assert before.plan == {"threads": 2, "steps": 70}
        assert before[1] == SweepState.open(folder)[1]


def test_of_two_that_begin_the_same_sweep_one_is_refused(tmp_path: Path, settings: SweepSettings) -> None:
    first = SweepState.create(tmp_path / "sweep", settings)
    with first.exclusive():
        (tmp_path / "sweep" / "sweep.yaml").unlink()  # as if the second one had looked before it was written
        with pytest.raises(UserError, match="another process works on the sweep"):
            SweepState.create(tmp_path / "sweep", settings)


def test_threads_do_not_disturb_each_other(tmp_path: Path, settings: SweepSettings) -> None:
    state = make_state(tmp_path, settings, made_up(0, Status.RUNNING))
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for count in range(10):
                number = 1 + 10 * thread + count
                state.propose(made_up(number, Status.WAITING))
                state.change(number, status=Status.FINISHED, score=number / 100)
                state.change(0, attempts=number)
                assert state.best is not None
                numbers = [trial.number for trial in state.trials]
                assert numbers == sorted(set(numbers))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [trial.number for trial in state.trials] == list(range(41))
    assert SweepState.open(tmp_path).trials == state.trials
    assert state.best == state[40]


def test_hundreds_of_trials_are_read_at_once(tmp_path: Path, settings: SweepSettings) -> None:
    SweepState.create(tmp_path, settings)
    for number in range(400):
        trial = made_up(number, Status.FINISHED, number / 400)
        (tmp_path / "trials" / f"{number:05d}.json").write_text(json.dumps(trial.model_dump(mode="json")))
    started = time.process_time()
    state = SweepState.open(tmp_path)
    assert time.process_time() - started < 1
    assert state.best == state[399]
