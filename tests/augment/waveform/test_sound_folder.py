import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from echopair.augment.waveform import sound_folder
from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.sound_folder import (
    SoundReader,
    check_sounds,
    find_sounds,
    read_sound,
    sound_seconds,
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes noise, different in every channel."""

    def write(name: str, seconds: float = 2.0, rate_hz: int = 16000, channels: int = 1) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(7).normal(size=(round(seconds * rate_hz), channels))
        soundfile.write(file, noise, rate_hz, "FLOAT" if file.suffix == ".wav" else None)
        return file

    return write


def samples_of(file: Path) -> Waveform:
    samples: Waveform = soundfile.read(file, dtype="float32", always_2d=True)[0].mean(axis=1)
    return samples


def test_sounds_are_found_in_any_depth_and_in_one_order(write: Write, tmp_path: Path) -> None:
    names = ["b.wav", "a.FLAC", "z/deep/c.ogg", "m/d.mp3", "e.aiff", ".hidden/f.wav", ".g.wav"]
    files = {name: write(name) for name in names}
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "m" / "back").symlink_to(tmp_path)
    found = ["a.FLAC", "b.wav", "e.aiff", "m/d.mp3", "z/deep/c.ogg"]
    assert find_sounds(tmp_path) == [files[name] for name in found]
    check_sounds(tmp_path)


def test_the_home_folder_may_be_abbreviated(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("sounds/a.wav")
    monkeypatch.setenv("HOME", str(file.parents[1]))
    assert find_sounds(Path("~/sounds")) == [file]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^folder=.*/none: there is no such folder; name the folder with"):
        check_sounds(tmp_path / "none")


def test_a_file_instead_of_a_folder_is_refused(write: Write) -> None:
    with pytest.raises(ValueError, match=r"^folder=.*/a.wav is a file; name the folder"):
        check_sounds(write("a.wav"))


def test_a_folder_without_sounds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(ValueError, match=r"contains no sounds; add some \(wav, wave"):
        check_sounds(tmp_path)


def break_text(file: Path) -> None:
    file.write_text("this is text")


def break_empty(file: Path) -> None:
    file.write_bytes(b"")


def break_no_samples(file: Path) -> None:
    soundfile.write(file, np.zeros(0), 16000)


def break_link(file: Path) -> None:
    file.symlink_to("nowhere.wav")


def break_pipe(file: Path) -> None:
    os.mkfifo(file)


def break_folder(file: Path) -> None:
    file.mkdir()
    (file / "inside.wav").write_text("this is text")


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (break_text, r"broken\.wav cannot be read.*Format not recognised.*Remove it, or convert"),
        (break_empty, r"broken\.wav cannot be read.*Remove it, or convert it"),
        (break_no_samples, r"broken\.wav is empty or declares no length: remove it"),
        (break_link, r"broken\.wav is not a regular file: remove it"),
        (break_pipe, r"broken\.wav is not a regular file: remove it"),
        (break_folder, r"broken\.wav/inside\.wav cannot be read"),
    ],
)
def test_one_bad_file_among_good_ones_is_named(
    break_it: Callable[[Path], None], reason: str, write: Write, tmp_path: Path
) -> None:
    write("a.wav")
    write("z.wav")
    break_it(tmp_path / "broken.wav")
    with pytest.raises(ValueError, match=rf"^folder=.*: .*{reason}"):
        check_sounds(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused_in_words_that_can_be_printed(
    write: Write, tmp_path: Path
) -> None:
    write("a.wav").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    with pytest.raises(ValueError, match=r"caf\ufffd\.wav cannot be read: its name is not UTF-8") as refusal:
        check_sounds(tmp_path)
    str(refusal.value).encode()


def test_a_sound_that_is_too_long_is_refused(write: Write, tmp_path: Path) -> None:
    write("short.wav", seconds=1.0)
    check_sounds(tmp_path, longest_seconds=1.5)
    write("symphony.wav", seconds=2.0)
    with pytest.raises(ValueError, match=r"symphony.wav lasts 2 s, more than 1.5 s: remove it"):
        check_sounds(tmp_path, longest_seconds=1.5)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_every_format_is_read_whole(name: str, write: Write) -> None:
    file = write(name, seconds=1.0)
    assert sound_seconds(file) == 1
    assert np.array_equal(read_sound(file, 16000), samples_of(file))


def test_a_section_starts_at_its_time_and_is_mixed_to_mono(write: Write) -> None:
    file = write("a.wav", channels=2)
    section = read_sound(file, 16000, start_seconds=0.5, samples=1000)
    assert section.dtype == np.float32
    assert np.array_equal(section, samples_of(file)[8000:9000])


def test_a_section_ends_at_the_end_of_the_sound(write: Write) -> None:
    file = write("a.wav", seconds=1.0)
    assert len(read_sound(file, 16000, start_seconds=0.75, samples=16000)) == 4000
    assert len(read_sound(file, 16000, start_seconds=5.0, samples=16000)) == 0


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_another_rate_is_resampled(rate_hz: int, write: Write) -> None:
    file = write("a.wav", rate_hz=rate_hz)
    whole = read_sound(file, 16000)
    assert len(whole) == 32000
    np.testing.assert_allclose(whole, soxr.resample(samples_of(file), rate_hz, 16000), atol=1e-6)
    section = read_sound(file, 16000, start_seconds=0.5, samples=8000)
    assert len(section) == 8000
    # Its first and last samples miss what lies beyond the cut.
    np.testing.assert_allclose(section[200:-200], whole[8200:15800], atol=1e-3)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["sections are decoded", "sounds are cached"])
def test_the_reader_repeats_what_is_too_short(
    cache_bytes: int, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_folder, "CACHE_BYTES", cache_bytes)
    file = write("a.wav", seconds=0.5)
    sound = samples_of(file)
    reader = SoundReader([file], 16000)
    assert np.array_equal(reader.section(file, 0.25, 1000), sound[4000:5000])
    assert np.array_equal(reader.section(file, 0.0, 20000), np.tile(sound, 3)[:20000])
    # Beyond the end, as in a file that declares more than it holds.
    assert np.array_equal(reader.section(file, 3.0, 1000), sound[:1000])


def test_a_cached_sound_is_decoded_once(write: Write) -> None:
    file = write("a.wav")
    reader = SoundReader([file], 16000)
    first = reader.section(file, 0.0, 1000)
    file.unlink()
    assert np.array_equal(reader.section(file, 0.0, 1000), first)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["sections are decoded", "sounds are cached"])
def test_a_cut_mp3_still_fills_every_section(
    cache_bytes: int, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_folder, "CACHE_BYTES", cache_bytes)
    file = write("a.mp3", seconds=4.0)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert sound_seconds(file) == 4  # as declared
    reader = SoundReader([file], 16000)
    for start in (0.0, 1.5, 3.0):
        assert np.square(reader.section(file, start, 16000)).mean() == pytest.approx(0.01, rel=0.2)


def test_a_damaged_file_with_a_valid_header_is_named_when_decoded(write: Write) -> None:
    file = write("a.flac", seconds=4.0)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"a.flac cannot be read: .* Remove it, or convert it to WAV"):
        read_sound(file, 16000)


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.array([0.1, np.nan, 0.2]), 16000, "FLOAT")
    with pytest.raises(ValueError, match=r"a\.wav has samples that are not finite: remove it"):
        read_sound(file, 16000)


def test_a_sound_that_resamples_to_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.ones(1), 48000)
    with pytest.raises(ValueError, match=r"a\.wav is empty: remove it"):
        SoundReader([file], 8000).section(file, 0.0, 800)
