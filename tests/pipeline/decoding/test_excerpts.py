from pathlib import Path

import numpy as np
import soundfile

from echopair.pipeline.corpora import Recording
from echopair.pipeline.decoding.excerpts import cut
from echopair.pipeline.decoding.reading import Refused
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore

RATE = 8000


def test_excerpts_hold_the_samples_between_their_ends(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (25 * RATE, 2))
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="PCM_16")
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    excerpts = [
        (20.0, 25.05),
        (0.0, 0.5),
        (9.5, 20.25),
        (9.75, 9.75),
        (10.0, 12.0),
        (24.0, 26.0),
        (30.0, 31.0),
    ]
    held: dict[int, int] = {}
    reasons: dict[int, str] = {}
    for index, file in cut(tmp_path / "a.wav", excerpts):
        if isinstance(file, Refused):
            reasons[index] = str(file)
            continue
        samples, rate = soundfile.read(file, dtype="float32")
        begin, end = (round(second * RATE) for second in excerpts[index])
        np.testing.assert_array_equal(samples, whole[begin:end])
        held[index] = rate
    assert held == dict.fromkeys((0, 1, 2, 4), RATE)
    assert reasons == {
        3: "too short: begin and end are the same",
        5: "the event ends at 26.00 s, its recording ends at 25.00 s",
        6: "the event begins at 30.00 s, its recording ends at 25.00 s",
    }


def test_a_recording_that_is_refused_refuses_its_excerpts(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    assert [(index, str(reason)) for index, reason in cut(tmp_path / "a.wav", [(1, 2), (0, 1)])] == [
        (0, "empty: the file has zero bytes"),
        (1, "empty: the file has zero bytes"),
    ]


def test_excerpts_become_clips_of_their_own(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="PCM_16")
    recordings = [
        Recording(tmp_path / "a.wav", f"a.wav ({begin} s)", (label,), excerpt=(begin, begin + 1.0))
        for begin, label in ((2.0, "late"), (0.0, "early"), (9.0, "none"))
    ] + [Recording(tmp_path / "a.wav", "a.wav")]
    (tmp_path / "out").mkdir()
    figures = prepare("c", recordings, PrepareConfig(max_refused_share=0.5), RATE, tmp_path / "out")
    assert (figures["clips"], figures["refused"]) == (3, 1)
    store = ClipStore(tmp_path / "out", RATE)
    assert store.labels() == [("late",), ("early",), ()]
    np.testing.assert_allclose(store.read(0), sound[2 * RATE : 3 * RATE], atol=1e-4)
    np.testing.assert_allclose(store.read(1), sound[:RATE], atol=1e-4)
    assert store.samples.tolist() == [RATE, RATE, 4 * RATE]
