"""The page in a real browser, alone and in a sandboxed frame as the MLflow UI shows it in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from echopair.augment.policy import AllConfig, AugmentConfig
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.waveform.gain import WaveformGainConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page import write_augmentation_page
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE
from tests.pipeline.augmentation_page.clips import synthetic_clips

PLAYED = """async number => {
    const audio = document.querySelectorAll("audio")[number];
    audio.muted = true;
    const ended = new Promise(done => audio.addEventListener("ended", done));
    await audio.play();
    await ended;
    return [audio.duration, audio.currentTime];
}"""

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "augmentations.html"
    config = AugmentConfig(policy=AllConfig(augmentations=(WaveformGainConfig(), GainConfig())))
    write_augmentation_page(synthetic_clips(), config, LogMelConfig(), 0, path, "run")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        yield browser
        browser.close()


def test_pictures_load_sound_plays_and_nothing_is_complained_of(browser, path: Path) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) > 100
    assert set(widths) == {30}
    assert page.locator("audio").count() > 30
    for number in (0, 1):
        duration, position = page.evaluate(PLAYED, number)
        assert duration == position == pytest.approx(0.3, abs=0.01)
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    assert complaints == []


def test_names_of_rows_stay_in_sight_on_a_narrow_screen(browser, path: Path) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page(viewport={"width": 700, "height": 900})
    page.goto(path.as_uri())
    panel = page.locator(".scroll").last
    heading = panel.locator("th[scope=row]").first
    before = heading.bounding_box()["x"]
    assert panel.evaluate("panel => { panel.scrollLeft = 150; return panel.scrollLeft; }") == 150
    assert heading.bounding_box()["x"] == pytest.approx(before, abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 700


def test_the_page_works_without_scripts(browser, path: Path) -> None:  # type: ignore[no-untyped-def]
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    page.get_by_role("link", name="Not in this policy").click()
    heading = page.get_by_role("heading", name="Not in this policy")
    assert 0 <= heading.bounding_box()["y"] < 100


def test_links_and_sound_work_in_a_sandboxed_frame(browser, path: Path) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_content('<iframe sandbox="allow-scripts" style="width: 960px; height: 760px"></iframe>')
    page.evaluate(
        """html => new Promise(done => {
            const frame = document.querySelector("iframe");
            frame.onload = done;
            frame.src = URL.createObjectURL(new Blob([html], {type: "text/html"}));
        })""",
        path.read_text(encoding="utf-8"),
    )
    frame = page.frames[1]
    assert frame.evaluate(PLAYED, 1)[1] == pytest.approx(0.3, abs=0.01)
    frame.get_by_role("link", name="Not in this policy").click()
    heading = frame.get_by_role("heading", name="Not in this policy")
    assert 0 <= heading.bounding_box()["y"] < 120
