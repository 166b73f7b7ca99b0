"""The page in a browser: the map is drawn, a row is seen and heard, a selection is labelled, exported and probed."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from echopair.pipeline.config import compose
from echopair.pipeline.evaluation.trained_classifier import TrainedClassifier
from echopair.pipeline.explore.labels import Labels, corpus_config
from echopair.pipeline.explore.page import STATIC_FOLDER
from echopair.pipeline.explore.table import ExploredTable
from echopair.pipeline.run import run
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE

pytestmark = NEEDS_BROWSER
DRIVER_WARNING = "GPU stall due to ReadPixels"  # of Chromium, about its own screenshots in software


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The page once it is drawn; what the browser complains of fails the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: complaints.extend([] if is_own(request.url, address) else [request.url]),
        )
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        yield page
        assert [one for one in complaints if DRIVER_WARNING not in one] == []
        browser.close()


def is_own(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", "data:", "blob:"))


def coloured_pixels(page: Any) -> int:
    """Pixels of the map with a colour, in a picture of it."""
    picture = Image.open(io.BytesIO(page.locator("#map canvas").screenshot())).convert("RGB")
    pixels = np.asarray(picture).astype(int)
    return int((np.ptp(pixels, axis=2) > 60).sum())


def place_of(page: Any, row: int) -> tuple[float, float]:
    """Where a row is on the screen: the ring is put there by the keys of the map."""
    page.evaluate("row => window.echopairMap.select([row])", row)
    ring = page.locator(".ring").bounding_box()
    return ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2


def lasso(page: Any, left: float, right: float) -> None:
    """Draw a lasso around a part of the map, given as shares of its width."""
    box = page.locator("#map").bounding_box()
    x0, x1 = (box["x"] + 4 + share * (box["width"] - 8) for share in (left, right))
    y0, y1 = box["y"] + 4, box["y"] + box["height"] - 4
    page.keyboard.down("Shift")
    page.mouse.move(x0, y0)
    page.mouse.down()
    for x, y in ((x1, y0), (x1, y1), (x0, y1), (x0, y0 + 4)):
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    page.keyboard.up("Shift")


def label_next(page: Any, *labels: str) -> None:
    """Label the rows that are suggested, in turn, until a probe chooses them."""
    for label in labels:
        before = page.locator("#next").inner_html()
        page.keyboard.type(label)
        page.keyboard.press("Enter")
        page.wait_for_function("before => document.getElementById('next').innerHTML !== before", arg=before)
    page.locator("#next .guess", has_text="%").first.wait_for()


def test_rows_are_drawn_seen_and_heard(page: Any, table: ExploredTable) -> None:
    assert coloured_pixels(page) > 90 * 20
    licence = (STATIC_FOLDER / "regl-scatterplot.LICENSE.txt").read_text()
    version = page.evaluate("echopairMap.plot.get('version')")
    assert f"regl-scatterplot {version} " in licence
    x, y = place_of(page, 7)
    page.mouse.move(x - 3, y - 3)
    page.mouse.move(x, y)
    tip = page.locator(".tip img")
    tip.wait_for()
    assert tip.evaluate("image => image.decode().then(() => image.naturalWidth)") == 96
    page.mouse.click(x, y)
    audio = page.locator("#clip audio")
    audio.wait_for()
    name = page.locator("#clip .name").inner_text()
    assert name in {Path(one.path).name for one in table.excerpts}
    page.wait_for_function("() => document.querySelector('#clip audio').ended")
    assert audio.evaluate("audio => audio.duration") == pytest.approx(0.96, abs=0.01)


def test_keys_go_to_a_neighbour_and_play_it(page: Any) -> None:
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#announced").inner_text()
    before = page.locator(".ring").bounding_box()
    page.keyboard.press("ArrowRight")
    page.locator("#clip audio").wait_for()
    assert page.locator("#announced").inner_text() != first
    assert page.locator(".ring").bounding_box()["x"] > before["x"]
    assert page.locator("#clip audio").evaluate("audio => audio.paused")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#clip audio').ended")
    page.keyboard.press("l")
    assert page.evaluate("document.activeElement.id") == "label"


def test_a_label_refits_the_probe_and_goes_on_to_the_next_row(page: Any, table: ExploredTable) -> None:
    page.locator("#next button").first.wait_for()
    page.locator("#next button").first.click()
    label_next(page, "one", "two")
    assert sorted(Labels(table).given().values()) == ["one", "two"]
    assert page.locator("#labelled").inner_text() == "2 rows with a label, 2 labels"
    assert page.evaluate("document.activeElement.id") == "label"


def test_a_label_is_replaced_shown_and_taken_back(page: Any, table: ExploredTable) -> None:
    page.locator("#map").focus()
    legend = """[...document.querySelectorAll('#legend button')].map(
        (one) => [one.children[1].textContent, one.children[0].style.background])"""
    page.select_option("#colour", "label")
    for label in ("siren", "rain with a long name"):
        page.locator("#map").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("l")
        page.keyboard.type(label)
        page.keyboard.press("Enter")
        page.locator("#clip .place", has_text=label).wait_for()
        page.wait_for_function("document.activeElement.id === 'map'")
    assert sorted(Labels(table).given().values()) == ["rain with a long name", "siren"]
    colours = dict(page.evaluate(legend))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("l")
    page.keyboard.press("Enter")  # repeats the last label
    page.wait_for_function("document.activeElement.id === 'map'")
    # The second label is the more frequent one now, or was repeated on its own row: the colours stay.
    assert dict(page.evaluate(legend)).items() <= colours.items()
    page.keyboard.press("Control+z")
    page.locator("#labelled", has_text="2 rows with a label, 2 labels").wait_for()
    assert dict(page.evaluate(legend)) == colours
    page.click("#label")
    page.keyboard.type("typed")
    assert page.input_value("#label") == "typed"
    page.keyboard.press("Control+z")  # of the text in the field, not of labels
    assert len(Labels(table).given()) == 2
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "map"
    assert page.locator("#selection").inner_text() == "1 row selected"
    page.keyboard.press("Escape")
    assert page.locator("#selection").inner_text() == "Nothing selected"
    lasso(page, 0, 1)
    page.locator("#selection", has_text=f"{len(table)} rows selected").wait_for()
    page.fill("#label", "all")
    page.keyboard.press("Enter")
    page.locator("#labelled", has_text=f"{len(table)} rows with a label, 1 label").wait_for()
    page.wait_for_function("document.activeElement.id === 'map'")
    page.keyboard.press("Control+z")
    page.locator("#labelled", has_text="2 rows with a label, 2 labels").wait_for()
    assert sorted(Labels(table).given().values()) == ["rain with a long name", "siren"]
    assert dict(page.evaluate(legend)) == colours
    widths = page.evaluate(
        "[...document.querySelectorAll('#next')].map(one => one.scrollWidth - one.clientWidth)"
    )
    assert widths == [0]


def test_a_label_given_before_its_clip_is_there_is_shown_with_it(page: Any, table: ExploredTable) -> None:
    page.locator("#next img").first.wait_for()
    waiting: list[Any] = []
    page.route("**/rows/*", lambda route: waiting.append(route))  # noqa: PLW0108 - playwright takes no built-in
    page.locator("#map").focus()
    for row in range(len(table)):  # one whose clip is not yet there
        page.evaluate("row => window.echopairMap.select([row])", row)
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(100)
        if waiting:
            break
    page.keyboard.press("l")
    page.keyboard.type("siren")
    page.keyboard.press("Enter")
    page.locator("#labelled", has_text="1 row with a label").wait_for()
    page.unroute("**/rows/*")  # which lets those that wait go on
    page.locator("#clip .place", has_text="siren").wait_for()


def test_rows_and_their_labels_fit_on_small_screens(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 860})
    page.select_option("#colour", "label")
    page.locator("#next button").first.click()
    label_next(page, "the very long name of a species", "another name of many words")
    lasso(page, 0, 1)
    page.locator("#selection", has_text="rows selected").wait_for()
    for name in ("#legend", "#map"):
        box = page.locator(name).bounding_box()
        assert box["y"] + box["height"] < 860, name
    page.set_viewport_size({"width": 420, "height": 860})
    page.wait_for_function("echopairMap.plot.get('width') < 420")
    page.wait_for_timeout(500)  # for some frames the rows are in the map by the old view
    page.wait_for_function(
        """() => {
            const { width } = document.getElementById("map").getBoundingClientRect();
            const places = echopairMap.data.x.map((_, row) => echopairMap.plot.getScreenPosition(row));
            return width < 420 && places.every(([x]) => x > 0 && x < width);
        }"""
    )
    inside = """(parts, outer) => parts.length > 0 && parts.every((part) => {
        const [a, b] = [part.getBoundingClientRect(), part.closest(outer).getBoundingClientRect()];
        return a.width > 0 && a.left >= b.left - 1 && a.right <= b.right + 1;
    })"""
    for parts, outer in (
        ("#next button > *", "button"),
        ("#next button", "#next"),
        ("#rows .when", "#rows"),
        ("#legend .entry", "#legend"),
    ):
        assert page.locator(parts).evaluate_all(inside, outer), parts
    assert page.evaluate("document.documentElement.scrollWidth") == 420


def test_a_classifier_of_the_labels_is_saved(page: Any, table: ExploredTable) -> None:
    for label, left, right in (("left", 0.0, 0.45), ("right", 0.55, 1.0)):
        lasso(page, left, right)
        page.locator("#selection", has_text="rows selected").wait_for()
        page.fill("#label", label)
        page.keyboard.press("Enter")
        page.locator("#rows .what", has_text=label).first.wait_for()
    page.click("#save-classifier")
    page.locator("#classifier", has_text="accuracy on whole recordings").wait_for()
    file = table.file.with_suffix(".classifier.safetensors")
    assert page.locator("#classifier-command").inner_text() == f"echopair label {table.file} {file}"
    assert TrainedClassifier.load(file).info.classes == ("left", "right")
    with page.expect_download() as download:
        page.click("#export-labels")
    assert download.value.suggested_filename == "table.labels.csv"
    assert Path(download.value.path()).read_text() == Labels(table).file.read_text()
    shown = yaml.safe_load(page.locator("details pre").evaluate("one => one.textContent"))
    assert shown == {"corpora": {"labelled": Labels(table).corpus()}, "probe": {"corpora": ["labelled"]}}


def test_rows_are_coloured_in_every_way(page: Any) -> None:
    ways = page.locator("#colour option").evaluate_all("options => options.map(one => one.value)")
    assert ways == ["label", "cluster", "recording", "hour", "start", "similarity"]
    place_of(page, 0)
    page.locator("#map").focus()
    page.keyboard.press("ArrowLeft")
    page.locator("#colour").focus()  # the outline of a focused map has a colour
    for way in ways:
        page.select_option("#colour", way)
        patience = time.monotonic() + 20
        while (coloured_pixels(page) > 100) != (way != "label"):  # nothing has a label
            assert time.monotonic() < patience, way


def test_a_selection_is_labelled_exported_and_probed(page: Any, table: ExploredTable, made: Path) -> None:
    folder = table.file.parent
    for label, left, right in (("left", 0.0, 0.45), ("right", 0.55, 1.0)):
        lasso(page, left, right)
        page.locator("#selection", has_text="rows selected").wait_for()
        page.fill("#label", label)
        page.keyboard.press("Enter")
        page.locator("#rows .what", has_text=label).first.wait_for()
    lasso(page, 0, 1)
    page.locator("#selection", has_text=f"{len(table)} rows selected").wait_for()
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "table.selection.csv"
    selection = folder / "selection.csv"
    download.value.save_as(selection)
    lines = selection.read_text().splitlines()
    assert len(lines) == len(table) + 1

    corpus = {**corpus_config(table, selection), "where_not": {"label": ""}}
    config = compose(str(write_config(folder, corpus)))
    result = run(config)
    (summary,) = result.evaluations.values()
    labelled = sum(line.endswith((",left", ",right")) for line in lines)
    assert labelled > len(table) / 2
    assert summary["clips"] == labelled
    assert summary["classes"] == ["left", "right"]
    # Both sides of a map of hum, hiss and beeps are easy to tell apart.
    assert summary["features"]["pretrained"]["score"] > 0.8


def write_config(folder: Path, corpus: dict[str, object]) -> Path:
    """A run of seconds on a corpus."""
    file = folder / "run.yaml"
    settings = {
        "run_name": "labelled",
        "work_folder": str(folder / "work"),
        "corpora": {"labelled": corpus},
        "prepare": {"workers": 1},
        "crops": {"crop_seconds": 0.32},
        "encoder": {"name": "resnet", "width": 8, "stem": "patch", "blocks": [1, 1]},
        "pretrain": {"steps": 4, "batch_pairs": 8, "device": "cpu"},
        "embed": {"device": "cpu"},
        "probe": {"folds": 3},
    }
    file.write_text(yaml.safe_dump(settings))
    return file
