"""Recordings of a folder whose names do not say what they are."""

import os
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.decoding.recognition import is_audio
from tests.pipeline.decoding.tone_recordings import tag, write

KINDS = [
    ("WAV", "PCM_16"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("W64", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
]


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_audio_is_recognised_by_its_first_bytes(container: str, subtype: str, tmp_path: Path) -> None:
    path = write(tmp_path / "REC0001", container=container, subtype=subtype)
    assert is_audio(path)
    for front in (tag(), tag() + bytes(500)):
        (tmp_path / "tagged").write_bytes(front + path.read_bytes())
        assert is_audio(tmp_path / "tagged")


def test_what_is_no_audio_is_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    contents = {
        "empty": b"",
        "text": b"RIFF is a container\n" * 99,
        "avi": b"RIFF\0\1\0\0AVI LIST" + noise,
        "theora": b"OggS\0\2" + bytes(20) + b"\1\x2a\x80theora" + noise,
        "one frame": b"\xff\xfb\x90\x64" + noise,
        "short": b"OggS",
        "a tag alone": tag(),
        "utf-16": "hällo wörld".encode("utf-16") * 500,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert not is_audio(tmp_path / name), name
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", ""):
        assert not is_audio(tmp_path / name), name


def test_unknown_names_are_read_and_backups_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dog/REC0001", "dog/b.dat", "rain/c.wav", "rain/c.wav.bak", "rain/d.WAV~"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name)
    (tmp_path / "rain" / "notes.dat").write_text("12 April: rain")
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert [(one.name, one.labels) for one in found] == [
        ("dog/REC0001", ("dog",)),
        ("dog/b.dat", ("dog",)),
        ("rain/c.wav", ("rain",)),
    ]
    assert found.passed_over == {".bak (audio by content)": 1, ".wav~ (audio by content)": 1, ".dat": 1}
    said = " ".join("".join(capsys.readouterr()).split())
    assert "recognised as audio by content: 2 (REC0001, ...)" in said
    assert "passed over as backups or parts of audio by their names: 2 (c.wav.bak, ...); rename" in said
