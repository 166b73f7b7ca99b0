"""The page in a real browser: points that are dragged, gradient descent, and the sounds of a table."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from echopair.pipeline.corpora import Recording
from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.errors import UserError
from echopair.pipeline.play import write_play_page
from echopair.pipeline.play.sample import sample_table
from echopair.pipeline.search.similarity import similarities_to
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE
from tests.pipeline.conftest import audio_encoder

RATE = 16000
ROWS = 30
LABELS = ("a <b>label</b>", "other")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty windows of a second of two recordings, of which the second one is gone."""
    folder = tmp_path_factory.mktemp("play")
    audio_encoder().save(folder / "encoder")
    time = np.arange(ROWS * RATE) / RATE
    soundfile.write(folder / "a & b.wav", 0.1 * np.sin(2 * np.pi * 440 * time), RATE)
    embeddings = np.random.default_rng(0).normal(3, 1, (ROWS, 8)).astype(np.float32)
    info = TableInfo.of(folder / "encoder", str(folder / "encoder"), 1, 1, None)
    paths = [folder / ("a & b.wav" if row < ROWS - 5 else "gone.wav") for row in range(ROWS)]
    sources = [Recording(path, str(path), (LABELS[row % 2],), "1") for row, path in enumerate(paths)]
    starts = np.arange(ROWS, dtype=float)
    schema = table_schema(8, info, annotated=True)
    pq.write_table(make_rows(schema, sources, starts, starts + 1, embeddings), folder / "t.parquet")
    return folder / "t.parquet"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(table: Path) -> Path:
    write_play_page(table.with_name("play.html"), table)
    return table.with_name("play.html")


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, which must complain of nothing."""
    context = browser.new_context(viewport={"width": 390, "height": 1400}, has_touch=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
    assert complaints == []


def number(page: Any, name: str) -> float:
    return float(page.inner_text(f"#{name}").replace("\N{MINUS SIGN}", "-"))


def slide(page: Any, selector: str, value: str) -> None:
    """Set a slider as a hand does."""
    event = "new Event('input', {bubbles: true})"
    page.locator(selector).evaluate(f"input => {{ input.value = {value}; input.dispatchEvent({event}) }}")


def centre(page: Any, row: int) -> tuple[float, float]:
    box = page.locator("#dots .shape").nth(row).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@NEEDS_BROWSER[1]
@pytest.mark.browser
class TestPoints:
    def test_a_point_is_dragged_along_the_circle_by_mouse_and_by_touch(self, page: Any) -> None:
        stage = page.locator("#plane").bounding_box()
        right = (stage["x"] + 0.97 * stage["width"], stage["y"] + 0.5 * stage["height"])
        top = (stage["x"] + 0.5 * stage["width"], stage["y"] + 0.03 * stage["height"])
        loss = number(page, "loss")
        page.mouse.move(*centre(page, 3))
        page.mouse.down()
        page.mouse.move(*right, steps=3)
        page.mouse.up()
        np.testing.assert_allclose(page.evaluate("state.points[3]"), [1, 0], atol=0.02)
        assert number(page, "loss") != loss
        assert "Selected: clip 4, view 1" in page.inner_text("#selected")
        fingers = page.context.new_cdp_session(page)
        for kind, places in (("touchStart", [centre(page, 3)]), ("touchMove", [top]), ("touchEnd", [])):
            touches = [{"x": x, "y": y} for x, y in places]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        np.testing.assert_allclose(page.evaluate("state.points[3]"), [0, 1], atol=0.02)

    def test_keys_move_the_selected_point_and_select_another_one(self, page: Any) -> None:
        page.locator("#dots g").nth(0).focus()
        x, y = page.evaluate("state.points[0]")
        page.keyboard.press("ArrowLeft")
        angle, moved = (math.atan2(*one[::-1]) for one in ([x, y], page.evaluate("state.points[0]")))
        assert math.remainder(moved - angle, 2 * math.pi) == pytest.approx(math.radians(2))
        page.keyboard.press("PageDown")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "clip 2, view 1, class B"

    def test_descent_lowers_the_loss_and_reset_brings_the_points_back(self, page: Any) -> None:
        points, before = page.evaluate("state.points"), number(page, "loss")
        for _ in range(5):
            page.click("#step")
        assert number(page, "loss") < before - 0.1
        assert page.evaluate("state.losses.length") == 6
        page.click("#reset")
        np.testing.assert_allclose(page.evaluate("state.points"), points)
        page.click("#run")
        while page.evaluate("state.losses.length") < 5:
            page.wait_for_timeout(20)
        page.click("#run")
        assert page.inner_text("#run") == "Run"

    def test_every_example_and_objective_can_be_run_at_the_ends_of_its_sliders(self, page: Any) -> None:
        for preset in page.locator("#presets button").all():
            preset.click()
            for _ in range(3):
                page.click("#step")
            assert math.isfinite(number(page, "loss"))
        for objective in page.locator("[name=objective] option").all_inner_texts():
            page.select_option("[name=objective]", objective)
            assert page.locator(".formulas > div:visible").count() == 1
            for name in page.locator("#settings input:visible").evaluate_all(
                "all => all.map(one => one.name)"
            ):
                for end in ("min", "max"):
                    slide(page, f"[name={name}]", f"input.{end}")
                    assert math.isfinite(number(page, "loss")), (objective, name, end)

    def test_equal_points_of_triplets_have_no_gradient_and_the_loss_of_chance(self, page: Any) -> None:
        page.click("text=Collapsed triplets")
        assert page.inner_text("#arrow-length") == "no gradient here"
        assert number(page, "loss") == number(page, "chance") == 0.2

    def test_more_clips_keep_the_points_that_are_there(self, page: Any) -> None:
        before = np.array(page.evaluate("state.points")).reshape(2, 6, 2)
        slide(page, "[name=clips]", "9")
        np.testing.assert_allclose(np.array(page.evaluate("state.points")).reshape(2, 9, 2)[:, :6], before)


@NEEDS_BROWSER[1]
@pytest.mark.browser
class TestSounds:
    def test_shares_are_the_softmax_of_the_similarities_to_the_anchor(self, page: Any, table: Path) -> None:
        page.click("#sounds-tab")
        page.select_option("#anchor", "4")
        slide(page, "#sound-temperature", "-1")
        sample = sample_table(table)
        similarities = np.delete(sample.similarities[4], 4)
        shares = np.exp(similarities / 0.1) / np.exp(similarities / 0.1).sum()
        effective = np.exp(-(shares * np.log(shares)).sum())
        assert number(page, "effective-negatives") == pytest.approx(effective, abs=0.1)
        texts = page.locator("#nearest .weight").all_inner_texts()[:5]
        found = [float(text.split()[0]) / 100 for text in texts]
        np.testing.assert_allclose(found, np.sort(shares)[::-1][:5], atol=0.006)
        own = np.delete(np.arange(ROWS) % 2 == 0, 4)
        assert float(page.inner_text("#own-label-share").split()[0]) == pytest.approx(
            100 * shares[own].sum(), abs=0.6
        )

    def test_texts_are_shown_as_they_are_and_the_anchor_plays(self, page: Any) -> None:
        page.click("#sounds-tab")
        assert page.inner_text("#anchor-sound h3") == LABELS[0]
        assert "a & b.wav, 0:00.0 to 0:01.0" in page.inner_text("#anchor-sound")
        assert page.locator("#map-dots b").count() == 0
        seconds = page.evaluate("""async () => {
            const audio = document.querySelector("#anchor-sound audio");
            audio.muted = true;
            const ended = new Promise(done => audio.addEventListener("ended", done));
            await audio.play();
            await ended;
            return audio.duration;
        }""")
        assert seconds == pytest.approx(1, abs=0.15)  # MP3 has some frames more
        page.select_option("#anchor", str(ROWS - 1))
        assert "gone.wav: there is no such file" in page.inner_text("#anchor-sound")

    def test_a_point_of_the_map_becomes_the_anchor(self, page: Any) -> None:
        page.click("#sounds-tab")
        page.locator("#map-dots g").nth(7).dispatch_event("click")
        assert page.input_value("#anchor") == "7"


def test_a_page_without_a_table_says_how_to_get_one(tmp_path: Path) -> None:
    write_play_page(tmp_path / "play.html")
    text = (tmp_path / "play.html").read_text()
    assert "echopair play --table embeddings.parquet" in text
    assert len(text) < 100_000
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_a_sample_has_the_similarities_of_search_and_no_two_overlap(table: Path, tmp_path: Path) -> None:
    sample = sample_table(table)
    embeddings = np.stack(pq.read_table(table)["embedding"].to_numpy())
    np.testing.assert_allclose(sample.similarities[3], similarities_to(table, embeddings[3]), atol=1e-5)
    assert sample_table(table, 10).excerpts == sample_table(table, 10).excerpts
    rows = pq.read_table(table)
    ends = pa.array(rows["end_seconds"].to_numpy() + 0.5)
    overlapping = rows.set_column(rows.schema.get_field_index("end_seconds"), "end_seconds", ends)
    pq.write_table(overlapping, tmp_path / "overlapping.parquet")
    excerpts = sample_table(tmp_path / "overlapping.parquet").excerpts
    assert 8 < len(excerpts) < ROWS
    assert not any(one.overlaps(other) for n, one in enumerate(excerpts) for other in excerpts[:n])


def test_what_cannot_be_shown_is_named_before_any_work(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.parquet: there is no such file"):
        write_play_page(tmp_path / "a.html", tmp_path / "gone.parquet")
    with pytest.raises(UserError, match=r"--page=.*/none/a.html is no file in a folder that exists"):
        write_play_page(tmp_path / "none" / "a.html")
    pq.write_table(pq.read_table(table).slice(0, 2), tmp_path / "two.parquet")
    with pytest.raises(
        UserError, match=r"two.parquet has 2 parts of recordings .* give a table with 3 or more"
    ):
        write_play_page(tmp_path / "a.html", tmp_path / "two.parquet")
