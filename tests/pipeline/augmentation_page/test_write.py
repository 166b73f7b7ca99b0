import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
import torch

from echopair.augment.policy import AllConfig, AugmentConfig, build_policy
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.mix_back import MixBackConfig
from echopair.augment.spectrogram.time_mask import TimeMaskConfig
from echopair.augment.waveform import WaveformChoice
from echopair.augment.waveform.gain import WaveformGainConfig
from echopair.augment.waveform.polarity import PolarityConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page import PreviewClip, write_augmentation_page
from echopair.pipeline.augmentation_page.cells import Cells
from echopair.pipeline.augmentation_page.views import View
from echopair.pipeline.augmentation_page.write import SCRIPT
from echopair.pipeline.pages.sound import playing_gain
from echopair.pipeline.training.seeding import Stream, numpy_generator, torch_generator
from tests.pipeline.augmentation_page.clips import HOSTILE, RATE, synthetic_clips

SEED = 5
CONFIG = AugmentConfig(
    strength=0,
    policy=AllConfig(
        augmentations=(
            WaveformGainConfig(max_gain_db=12.0),
            PolarityConfig(probability=0.5),
            MixBackConfig(),
            GainConfig(),
            TimeMaskConfig(),
        )
    ),
)
STRENGTHS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
VOID = frozenset({"meta", "br", "img"})


class Elements(HTMLParser):
    """The elements of a page in order: tag, attributes, the text within; and that each one opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, dict(attrs), [])
        self.all.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def texts(self, tag: str) -> list[str]:
        """The text within each element of a tag, one space between words."""
        return [" ".join("".join(texts).split()) for name, _, texts in self.all if name == tag]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "augmentations.html"
    write_augmentation_page(synthetic_clips(), CONFIG, LogMelConfig(), SEED, path, "run <b>7</b>")
    return path


@pytest.fixture(scope="module")
def elements(path: Path) -> Elements:
    return Elements(path.read_text(encoding="utf-8"))


def views_of(elements: Elements) -> dict[tuple[int, int, float], tuple[str, str | None, list[str]]]:
    """Picture, sound and captions of each view of the policy, by clip, view and strength."""
    cells: list[tuple[str, str | None, list[str]]] = []
    for tag, attributes, texts in elements.all:
        if tag == "h2" and "".join(texts) == "Each augmentation alone":
            break
        if tag == "figure":
            cells.append(("", None, []))
        elif tag == "img" and attributes["alt"]:
            cells[-1] = (str(attributes["src"]), None, [])
        elif tag == "audio" and " as it is" not in str(attributes["aria-label"]):
            cells[-1] = (cells[-1][0], attributes["src"], [])
        elif tag == "p" and cells and cells[-1][0]:
            cells[-1][2].append(" ".join("".join(texts).split()).replace("\N{MINUS SIGN}", "-"))
    places = [(clip, view, strength) for clip in range(3) for view in range(2) for strength in STRENGTHS]
    return dict(zip(places, cells, strict=True))


def test_the_page_needs_no_other_file(path: Path, elements: Elements) -> None:
    page = path.read_text(encoding="utf-8")
    assert "://" not in page
    assert not re.search(r"@import|url\(", page)
    for tag, attributes, _ in elements.all:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith("#")


def test_links_lead_somewhere_on_the_page(elements: Elements) -> None:
    anchors = [attributes["id"] for _, attributes, _ in elements.all if "id" in attributes]
    links = [str(attributes["href"])[1:] for _, attributes, _ in elements.all if "href" in attributes]
    assert len(set(anchors)) == len(anchors)
    assert set(links) <= set(anchors)
    assert len(links) > 39


def test_every_augmentation_is_named(elements: Elements) -> None:
    every = [
        choice.model_fields["name"].default
        for choice in get_args(WaveformChoice) + get_args(SpectrogramChoice)
    ]
    assert sorted(elements.texts("code")) == sorted(every)


def test_the_same_arguments_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    write_augmentation_page(synthetic_clips(), CONFIG, LogMelConfig(), SEED, again, "run <b>7</b>")
    assert again.read_bytes() == path.read_bytes()
    assert path.stat().st_size < 10e6


def test_names_are_escaped(path: Path, elements: Elements) -> None:
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "run <b>7</b>" in elements.texts("h1")
    assert elements.texts("script") == [" ".join(SCRIPT.split())]
    shown = HOSTILE.replace("\udce9", "\\udce9")
    assert f"Crop 1: {shown}" in elements.texts("h3")
    assert any(f"Play {shown} as it is" == attributes.get("aria-label") for _, attributes, _ in elements.all)


def test_numbers_on_the_page_are_those_of_the_policy(elements: Elements) -> None:
    shown = views_of(elements)
    clips = synthetic_clips()
    front_end = LogMel(LogMelConfig())
    for strength in STRENGTHS:
        policy = build_policy(CONFIG.model_copy(update={"strength": strength}), RATE)
        for view in range(2):
            generator = numpy_generator(SEED, view, Stream.AUGMENTATION)
            chosen = policy.choose(generator, (3,))
            seeds = generator.integers(2**32, size=chosen.shape, dtype=np.uint32)
            heard = [
                policy.augment_waveform(one.waveform, *draws)
                for one, *draws in zip(clips, chosen, seeds, strict=True)
            ]
            log_mels = front_end(torch.from_numpy(np.stack([waveform for waveform, _ in heard])))
            torch_draws = torch_generator(SEED, view, Stream.AUGMENTATION, torch.device("cpu"))
            _, applied = policy.augment_log_mels(log_mels, chosen, torch_draws)
            for clip in range(3):
                _, sound, captions = shown[clip, view, strength]
                captions = [caption for caption in captions if not caption.startswith("played")]
                expected = []
                for name, numbers in heard[clip][1]:
                    decibels = [20 * np.log10(value) for value in numbers.values()]
                    expected.append((name.replace("_", " "), decibels))
                for name, examples, parameters in applied:
                    assert examples[clip]
                    numbers = [getattr(parameters, field)[clip] for field in parameters.__dataclass_fields__]
                    if name == "mix_back":
                        numbers = [100 * numbers[0], numbers[1] + 1]
                    if name == "time_mask":
                        starts, widths = numbers[0][numbers[1] > 0], numbers[1][numbers[1] > 0]
                        numbers = [torch.stack([starts, starts + widths], dim=-1) * 0.01]
                    expected.append((name.replace("_", " "), torch.stack(numbers).flatten().tolist()))
                for caption, (title, numbers) in zip(captions, expected or [("unchanged", [])], strict=True):
                    assert caption.startswith(title)
                    found = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", caption)]
                    assert found == pytest.approx(numbers, abs=0.051), caption
                assert (sound is not None) == bool(heard[clip][1])


def test_strength_0_shows_the_crop_as_it_is(elements: Elements) -> None:
    originals = [
        attributes["src"] for tag, attributes, _ in elements.all if tag == "img" and not attributes["alt"]
    ]
    shown = views_of(elements)
    for clip in range(3):
        assert shown[clip, 0, 0.0][0] == shown[clip, 1, 0.0][0] == originals[clip]
        assert shown[clip, 0, 2.0][0] != originals[clip]


def test_views_play_at_the_gain_of_their_crop() -> None:
    clips = synthetic_clips()
    cells = Cells(clips, LogMel(LogMelConfig()), players=10)
    gain = playing_gain(clips[0].waveform)
    for factor, softer_db in ((0.5, ""), (2.0, ""), (8.0, "7")):
        view = View(np.zeros((64, 30), np.float32), clips[0].waveform * np.float32(factor))
        sound = cells.cell(view, 0).sound
        assert sound is not None
        assert sound.softer_db == softer_db
        kind, content = sound.address.split(",")
        assert kind == "data:audio/flac;base64"
        read, _ = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="float32")
        loudness = gain * factor * (1 if not softer_db else 0.89 / (0.25 * factor))
        assert np.abs(read - loudness * clips[0].waveform).max() <= 1.5 / 32768


def test_many_or_long_sounds_are_cut_to_one_length() -> None:
    clips = [PreviewClip("long", np.zeros(RATE * 30, np.float32))]
    cells = Cells(clips, LogMel(LogMelConfig()), players=100)
    read, _ = soundfile.read(io.BytesIO(base64.b64decode(cells.original(0).sound.address.split(",")[1])))
    assert len(read) == cells.samples_played < RATE * 2


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "at least one clip"),
        ([PreviewClip("a.wav", np.zeros((2, 4800), np.float32))], r"a\.wav.*\(2, 4800\)"),
        ([PreviewClip("a.wav", np.zeros(4800))], r"a\.wav.*float64"),
        (
            [
                PreviewClip("a.wav", np.zeros(4800, np.float32)),
                PreviewClip("b.wav", np.zeros(4801, np.float32)),
            ],
            r"b\.wav.*4801 samples.*one length",
        ),
    ],
)
def test_clips_that_are_no_crops_are_refused(clips: list[PreviewClip], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_augmentation_page(clips, CONFIG, LogMelConfig(), 0, tmp_path / "page.html", "run")
    assert list(tmp_path.iterdir()) == []


def test_bands_beyond_every_mark_of_the_axis_make_a_page(tmp_path: Path) -> None:
    bats = LogMelConfig(sample_rate_hz=192000, min_hz=18000, max_hz=90000)
    config = AugmentConfig(policy=AllConfig(augmentations=(GainConfig(),)))
    write_augmentation_page(synthetic_clips(), config, bats, SEED, tmp_path / "page.html", "bats")
    assert "18,000 to 90,000 Hz" in (tmp_path / "page.html").read_text(encoding="utf-8")
