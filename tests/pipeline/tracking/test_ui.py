"""The MLflow UI on a real store, looked at with a real browser."""

import math
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.pipeline.figures import accuracy_bars_figure
from echopair.pipeline.tracking import TrackedRun, TrackingConfig
from echopair.pipeline.tracking.runs_view import runs_view_path
from echopair.pipeline.tracking.server import start_server, stop_server, wait_until_ready
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrackedRun]]:
    folder = tmp_path_factory.mktemp("ui")
    tracked = []
    for temperature, accuracy in ((0.1, 0.71), (0.2, 0.78)):
        run = TrackedRun.open(TrackingConfig(), folder, f"t{temperature}", f"temperature {temperature}")
        run.log_parameters({"objective.temperature": temperature})
        run.log_metrics({"birds/accuracy": accuracy})
        run.log_series([{"step": step, "pretrain/loss": 6 - math.log(1 + step)} for step in range(20)])
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
        soundfile.write(folder / "pair-1-a.wav", tone, 16000, subtype="PCM_16")
        run.log_artifacts(folder / "pair-1-a.wav", "positive_pairs")
        accuracy_bars_figure(
            ["chance", "pretrained"], [0.1, accuracy], [None, (0.6, 0.8)], folder / "accuracy.png"
        )
        run.log_artifacts(folder / "accuracy.png", "probe/birds")
        run.end("FINISHED")
        tracked.append(run)
    return folder, tracked


@pytest.fixture(scope="module")
def page(runs: tuple[Path, list[TrackedRun]]) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    folder, _ = runs
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_server(TrackingConfig(), folder, port)
    try:
        url = wait_until_ready(server, folder, port)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
            context = browser.new_context(base_url=url, viewport={"width": 1600, "height": 1000})
            context.set_default_timeout(30_000)
            yield context.new_page()
            browser.close()
    finally:
        stop_server(server)


def experiment(runs: tuple[Path, list[TrackedRun]]) -> str:
    return runs[1][0]._experiment_id


def test_runs_are_listed_with_their_scores(page, runs) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"/#/experiments/{experiment(runs)}/runs")
    page.get_by_text("temperature 0.1").first.wait_for()
    page.get_by_text("temperature 0.2").first.wait_for()


def test_the_view_of_the_runs_has_scores_and_settings_as_columns(page, runs) -> None:  # type: ignore[no-untyped-def]
    page.goto(runs_view_path(TrackingConfig(), runs[0]))
    page.get_by_text("temperature 0.1").first.wait_for()
    for name in ("birds/accuracy", "objective.temperature"):
        page.get_by_role("columnheader").get_by_text(name).first.wait_for()


def test_runs_are_compared(page, runs) -> None:  # type: ignore[no-untyped-def]
    ids = ",".join(f'"{run.run_id}"' for run in runs[1])
    page.goto(f'/#/compare-runs?runs=[{ids}]&experiments=["{experiment(runs)}"]')
    page.get_by_text("objective.temperature").first.wait_for()
    page.get_by_text("birds/accuracy").first.wait_for()


def test_a_positive_pair_plays(page, runs) -> None:  # type: ignore[no-untyped-def]
    address = (
        f"/#/experiments/{experiment(runs)}/runs/{runs[1][0].run_id}/artifacts/positive_pairs/pair-1-a.wav"
    )
    with page.expect_response(
        lambda answer: "get-artifact" in answer.url and ".wav" in answer.url
    ) as response:
        page.goto(address)
    assert response.value.ok
    audio = page.locator("audio").first
    audio.wait_for(state="attached")
    duration, position = audio.evaluate(
        """async audio => {
            while (!(audio.duration > 0)) await new Promise(done => setTimeout(done, 100));
            audio.muted = true;
            await audio.play();
            await new Promise(done => setTimeout(done, 400));
            return [audio.duration, audio.currentTime];
        }"""
    )
    assert duration == pytest.approx(1.0, abs=0.05)
    assert position > 0.1
