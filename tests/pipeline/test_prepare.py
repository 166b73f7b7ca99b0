import errno
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.pipeline import workers as workers_module
from echopair.pipeline.config import compose
from echopair.pipeline.corpora import Recording
from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.corpora.recording import name_as_text
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.labels import ListedRecordings
from echopair.pipeline.prepare import PrepareConfig, clips_output, prepare, sound_above
from echopair.pipeline.run_record import _results_config
from echopair.pipeline.store import ClipStore
from tests.pipeline.conftest import RATE, write_tones
from tests.pipeline.deadly_decoding import DEADLY, ENDLESS, decode_or_die, decode_or_hang, die
from tests.pipeline.decoding.bad_recordings import REFUSED


def test_figures_and_clips_of_any_number_of_workers(tones: list[Recording], tmp_path: Path) -> None:
    figures = []
    relabelled = [Recording(one.path, one.name, ("other",)) for one in tones]
    for recordings, workers in ((tones, 1), (tones, 2), (relabelled, 1), (tones[:-1], 1)):
        folder = tmp_path / str(len(figures))
        folder.mkdir()
        figures.append(prepare("tones", recordings, PrepareConfig(workers=workers), RATE, folder))
        assert not list(folder.glob("worker-*"))
    one, two, other_labels, fewer = figures
    assert one == two
    assert (one["clips"], one["refused"]) == (len(tones), 0)
    seconds = sum(soundfile.info(recording.path).duration for recording in tones)
    assert one["seconds_of_audio"] == pytest.approx(seconds, abs=0.01)
    first, second = (ClipStore(tmp_path / name, RATE) for name in "01")
    for clip in range(len(tones)):
        np.testing.assert_array_equal(first.read(clip), second.read(clip))
    assert one["digest"] == other_labels["digest"] != fewer["digest"]
    assert one["annotations_digest"] != other_labels["annotations_digest"]


def test_where_recordings_are_decoded_is_no_part_of_a_key(tones: list[Recording]) -> None:
    here = compose("synthetic")
    there = compose("synthetic", ["prepare.on_ray=true", "prepare.workers=3", "ray.address=10.0.0.5:6379"])
    assert clips_output(here, "tones", tones).key == clips_output(there, "tones", tones).key
    assert _results_config(here) == _results_config(there)
    assert here.run_name == there.run_name


def test_refused_recordings_are_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    recordings = write_tones(tmp_path, clips=10)
    for number, (writer, _) in enumerate(REFUSED.values()):
        folder = tmp_path / f"bad-{number}"
        folder.mkdir()
        path = writer(folder)
        recordings.insert(number, Recording(path, f"{folder.name}/{path.name}"))
    out = tmp_path / "out"
    out.mkdir()
    figures = prepare("mixed", recordings, PrepareConfig(max_refused_share=0.95), RATE, out)
    assert (figures["clips"], figures["refused"]) == (10, len(REFUSED))
    assert len(ClipStore(out, RATE)) == 10
    report = (out / "report.json").read_text()
    assert all(f"bad-{number}/" in report for number in range(len(REFUSED)))


def test_a_recording_that_is_refused_beforehand_is_named_and_files_passed_over_counted(
    tmp_path: Path,
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "low").mkdir(parents=True)
    out.mkdir()
    for one in write_tones(root, clips=10)[:-1]:
        one.path.rename(root / "low" / one.path.name)
    (root / "notes.zip").touch()
    found = find_folder_recordings("c", FolderCorpusConfig(root=root))
    assert ListedRecordings(found).labels() == [("low",)] * 9
    figures = prepare("c", found, PrepareConfig(), RATE, out, passed_over=found.passed_over)
    assert (figures["clips"], figures["refused"]) == (9, 1)
    report = json.loads((out / "report.json").read_text())
    assert report["refusals"][0]["reason"].startswith("no label: it is at the root")
    assert report["passed_over"] == {".zip": 1}
    assert "1 <bdi>.zip</bdi>" in (out / "report.html").read_text()


def test_too_many_refused_end_the_stage_after_the_report(tmp_path: Path) -> None:
    recordings = write_tones(tmp_path, clips=10)
    for n in range(2):
        (tmp_path / f"empty{n}.wav").touch()
        recordings.append(Recording(tmp_path / f"empty{n}.wav", f"empty{n}.wav"))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(
        UserError, match=r"2 of 12 recordings refused \(empty0\.wav: .*prepare\.max_refused_share=0\.1"
    ):
        prepare("mixed", recordings, PrepareConfig(), RATE, out)
    assert "empty1.wav" in (out / "report.html").read_text()


def test_a_file_that_kills_its_process_is_refused_and_the_rest_is_taken(
    tones: list[Recording], store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = list(tones)
    recordings.insert(4, Recording(tones[0].path.with_name(DEADLY), DEADLY))
    # No recording is known that kills libsndfile; the stand-in kills its process when it is given one name.
    monkeypatch.setattr(workers_module, "decode_task", decode_or_die)
    figures = prepare("mixed", recordings, PrepareConfig(workers=1), RATE, tmp_path)
    assert (figures["clips"], figures["refused"]) == (len(tones), 1)
    assert (tmp_path / "report.json").read_text().count(workers_module.KILLED) == 1
    assert ClipStore(tmp_path, RATE).column("samples_sha256") == store.column("samples_sha256")
    assert ClipStore(tmp_path, RATE).read(3).tolist() == store.read(3).tolist()
    assert not list(tmp_path.glob("worker-*"))


def test_a_file_that_keeps_its_process_busy_is_refused_and_the_rest_is_taken(
    tones: list[Recording], store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = tones[:9]
    recordings.insert(4, Recording(tones[0].path.with_name(ENDLESS), ENDLESS))
    monkeypatch.setattr(workers_module, "decode_task", decode_or_hang)
    monkeypatch.setattr(workers_module, "LEAST_SECONDS", 2)
    figures = prepare("mixed", recordings, PrepareConfig(workers=1), RATE, tmp_path)
    assert (figures["clips"], figures["refused"]) == (9, 1)
    refusal = json.loads((tmp_path / "report.json").read_text())["refusals"][0]
    assert refusal["reason"] == "not decoded within 2 s: convert it to WAV"
    assert ClipStore(tmp_path, RATE).column("samples_sha256") == store.column("samples_sha256")[:9]


def test_workers_that_cannot_start_are_no_fault_of_a_file(
    tones: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "decode_task", die)
    with pytest.raises(UserError, match="killed before it decoded anything"):
        prepare("tones", tones[:2], PrepareConfig(), RATE, tmp_path)


def test_a_full_disk_is_said_so(
    tones: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    # A disk cannot be filled in a test; the error is raised where a worker's would arrive.
    monkeypatch.setattr(workers_module, "wait", full)
    with pytest.raises(UserError, match="the disk is full; free space there, or write to another disk"):
        prepare("tones", tones, PrepareConfig(), RATE, tmp_path)


def test_names_that_are_not_utf8_are_shown_with_escapes() -> None:
    assert name_as_text("caf\udce9.wav") == "caf\\xe9.wav"
    assert name_as_text("größe.wav") == "größe.wav"


def test_what_lies_above_the_mel_range_is_told() -> None:
    told = sound_above([16000] * 5 + [48000] * 3 + [44100] * 2, 7800)
    assert told.startswith(
        "5 of 10 clips come from recordings that go up to 24 kHz; the encoder hears up to 7.8 kHz"
    )
    assert not sound_above([8000, 16000], 7800)
