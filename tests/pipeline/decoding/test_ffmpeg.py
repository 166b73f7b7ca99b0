"""Recordings that ffmpeg decodes, with and without it."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.corpora.recording import Recording, ffmpeg_version
from echopair.pipeline.decoding.decode import Clip, Refused, decode
from echopair.pipeline.decoding.excerpts import sounds_of
from echopair.pipeline.prepare import PrepareConfig, prepare
from tests.pipeline.decoding.tone_recordings import RATE_HZ, SECONDS, cut, write

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not on the PATH")


def converted(folder: Path, name: str, *options: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-i", str(write(folder / "a.wav")), *options, str(folder / name)]
    subprocess.run(command, check=True, timeout=60)
    return folder / name


def clip_of(path: Path, *excerpts: tuple[float, float]) -> Clip | Refused:
    """The last clip of a recording; the file of an excerpt is there as long as the next is not asked for."""
    for _, sound in sounds_of(path, excerpts):
        try:
            last: Clip | Refused = sound if isinstance(sound, Refused) else whole_clip(sound)
        except Refused as refusal:
            last = refusal
    return last


def whole_clip(path: str | Path) -> Clip:
    return decode(path, RATE_HZ, io.BytesIO(), min_seconds=0.1)


@needs_ffmpeg
def test_ffmpeg_decodes_what_libsndfile_cannot(tmp_path: Path) -> None:
    path = converted(tmp_path, "a.tta")  # lossless, so that the clip is that of the WAV
    assert clip_of(path) == clip_of(tmp_path / "a.wav")
    assert clip_of(path, (0.5, 1.0)) == clip_of(tmp_path / "a.wav", (0.5, 1.0))
    assert str(ffmpeg_version([Recording(path, "a.tta")])).startswith("ffmpeg version")
    assert ffmpeg_version([Recording(tmp_path / "a.wav", "a.wav")]) == "any version"


@needs_ffmpeg
def test_prepare_decodes_through_ffmpeg(tmp_path: Path) -> None:
    recordings = [Recording(converted(tmp_path, f"a.{kind}"), f"a.{kind}") for kind in ("tta", "m4a")]
    excerpt = Recording(recordings[0].path, "event", excerpt=(0.5, 1.0))
    figures = prepare("c", [*recordings, excerpt], PrepareConfig(), RATE_HZ, tmp_path)
    assert (figures["clips"], figures["refused"]) == (3, 0)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "options"), [("a.m4a", ("-movflags", "+faststart")), ("a.webm", ())])
def test_a_cut_recording_is_refused(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = converted(tmp_path, name, *options)
    clip = clip_of(path)
    assert isinstance(clip, Clip)
    assert clip.seconds == pytest.approx(SECONDS, abs=0.1)
    refusal = clip_of(cut(path, 0.6))
    assert isinstance(refusal, Refused)
    assert "truncated or damaged: ffmpeg cannot read it whole" in str(refusal)


@needs_ffmpeg
def test_a_playlist_named_as_a_recording_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "list.m4a").write_text(f"#EXTM3U\n#EXTINF:2,\n{write(tmp_path / 'secret.wav')}\n")
    assert isinstance(clip_of(tmp_path / "list.m4a"), Refused)


def test_content_that_libsndfile_reads_needs_no_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    path = write(tmp_path / "a.m4a", container="WAV", subtype="PCM_16")
    assert whole_clip(path).seconds == SECONDS


def test_without_ffmpeg_its_formats_are_passed_over_or_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "a.wma").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    write(tmp_path / "b.wav")
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert ([one.name for one in found], found.passed_over) == (["b.wav"], {".wma": 1})
    assert "1 .wma; ffmpeg on the PATH reads some of them" in " ".join("".join(capsys.readouterr()).split())
    assert ffmpeg_version(found) is None
    refusals = [str(sound) for _, sound in sounds_of(tmp_path / "a.wma", [(0.0, 1.0), (1.0, 2.0)])]
    assert refusals == [".wma needs ffmpeg: install it on the PATH, or convert to WAV or FLAC"] * 2
