"""Manifests of clip stores that need no audio."""

from typing import Any

import pyarrow as pa

from echopair.pipeline.store import manifest_schema


def manifest_of(*clips: dict[str, Any]) -> pa.Table:
    """A manifest of unremarkable, distinct clips of 2 s but for what each dict says."""
    rows = [
        {
            "path": f"{n}.wav",
            "labels": [],
            "fold": None,
            "split": None,
            "group": None,
            "samples": 32000,
            "seconds": 2.0,
            "original_rate_hz": 44100,
            "channels": 1,
            "peak_dbfs": -3.0,
            "loudness_lufs": -20.0,
            "samples_sha256": f"sha-{n}",
            "sound": clip.get("samples_sha256", f"sha-{n}"),
            "shard": 0,
            "offset": n * 32000,
            "scale": 1.0,
            **clip,
        }
        for n, clip in enumerate(clips)
    ]
    return pa.Table.from_pylist(rows, schema=manifest_schema())
