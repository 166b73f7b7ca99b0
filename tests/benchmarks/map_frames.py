"""Frames of the map of `echopair explore` while it is moved, in headless Chromium.

    python -m tests.benchmarks.map_frames [ROWS]

Rows (50,000 by default) are drawn from ten normal distributions. Headless Chromium without a GPU draws in software
(SwiftShader): a screen's graphics card is many times faster.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright

from echopair.pipeline.embedding_table import TableInfo, make_rows, table_schema
from echopair.pipeline.explore.layout import Layout
from echopair.pipeline.explore.table import read_table
from tests.browser import CHROMIUM, OFFLINE
from tests.pipeline.conftest import audio_encoder
from tests.pipeline.explore.conftest import served

# Milliseconds between two frames, each of which is drawn at another place if the map moves.
MEASURE = """moves => new Promise(done => {
    const times = [];
    let last = performance.now();
    const frame = now => {
        times.push(now - last);
        last = now;
        const turn = times.length / 10;
        if (moves) echopairMap.plot.zoomToLocation([0.3 * Math.sin(turn), 0.2 * Math.cos(turn)], 0.8);
        if (times.length < 150) requestAnimationFrame(frame);
        else done(times.slice(10));
    };
    requestAnimationFrame(frame);
})"""


def main(rows: str = "50000") -> None:
    """Measure and print."""
    count = int(rows)
    generator = np.random.default_rng(0)
    centres = generator.uniform(-0.8, 0.8, (10, 2))
    clusters = generator.integers(10, size=count)
    points = np.clip(centres[clusters] + 0.1 * generator.normal(size=(count, 2)), -1, 1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        encoder = audio_encoder()
        info = TableInfo(
            encoder_sha256="",
            encoder=encoder.config.model_dump(mode="json"),
            encoder_folder="",
            window_seconds=1,
            hop_seconds=1,
            key="",
        )
        columns = {
            "path": ["a.wav"] * count,
            "start_seconds": np.arange(count),
            "end_seconds": np.arange(count) + 1.0,
        }
        embeddings = generator.normal(size=(count, 4)).astype(np.float32)
        file = Path(folder) / "table.parquet"
        pq.write_table(make_rows(table_schema(4, info), columns, embeddings), file)
        with served(read_table(file), Layout(points, clusters)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
            page = browser.new_page(viewport={"width": 1440, "height": 950})
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            page.wait_for_load_state("networkidle")
            box = page.locator("#map").bounding_box()
            assert box is not None
            still, moved = (np.array(page.evaluate(MEASURE, moves)) for moves in (False, True))
            renderer = page.evaluate(
                "(gl => gl.getParameter(gl.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL))"
                "(document.createElement('canvas').getContext('webgl'))"
            )
            browser.close()
    print(f"{count:,} rows, map of {box['width']:.0f} x {box['height']:.0f} pixels, {renderer}")
    for name, times in (("at rest", still), ("while it is moved", moved)):
        print(
            f"{name}: median {np.median(times):.1f} ms a frame, 95 % below {np.percentile(times, 95):.1f} ms"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
