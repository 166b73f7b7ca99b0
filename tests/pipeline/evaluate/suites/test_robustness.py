"""The suite `robustness`: the draw of clips, backgrounds, accuracies and corruption errors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from echopair.pipeline.evaluate.corruptions import CORRUPTIONS
from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
from echopair.pipeline.evaluate.suites.base import Result, Subject
from echopair.pipeline.evaluate.suites.robustness import (
    MEAN,
    RELATIVE,
    Robustness,
    RobustnessConfig,
    draw_clips,
    seed_of,
    sound_of,
)
from echopair.pipeline.evaluate.task import RESAMPLES, Metric, Task
from tests.pipeline.evaluate.making import make_task

RATE = 16000
LABELS = ["owl", "wren"] * 30
SOURCES = [f"source {n // 2}" for n in range(60)]


class Store:
    """Clips in memory; remembers which were read."""

    sample_rate_hz = RATE

    def __init__(self, waveforms: Sequence[NDArray[np.floating[Any]]]) -> None:
        self._waveforms = [one.astype(np.float32) for one in waveforms]
        self.samples = np.array([len(one) for one in waveforms])
        self.read_clips: list[int] = []

    def read(self, clip: int, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
        self.read_clips.append(clip)
        part = self._waveforms[clip][start:]
        return part if samples is None else np.resize(part[:samples], samples)


class Measure(FrozenEncoder):
    """One number of a waveform."""

    def __init__(self, measure: Callable[[NDArray[np.float32]], float]) -> None:
        super().__init__("measure", RATE, [])
        self._measure = measure

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array([[self._measure(one)] for one in waveforms], np.float32)


def make_subject(encoder: FrozenEncoder, waveforms: list[NDArray[np.floating[Any]]]) -> Subject:
    store = Store(waveforms)
    embeddings = np.concatenate([encoder.embed([store.read(n)]) for n in range(len(waveforms))])
    return Subject(encoder, cast(Any, store), embeddings, "key")


def noise(samples: Sequence[int], level: Sequence[float]) -> list[NDArray[np.floating[Any]]]:
    generator = np.random.default_rng(0)
    return [size * generator.normal(size=n) for n, size in zip(samples, level, strict=True)]


def accuracies(result: Result) -> dict[str, float]:
    return {key: one.value for key, one in result.metrics.items()}


def test_an_encoder_that_no_corruption_reaches_keeps_its_accuracy() -> None:
    task = make_task(LABELS, SOURCES)
    lengths = [1000 if label == "owl" else 10000 for label in LABELS]
    subject = make_subject(Measure(lambda one: np.log(len(one))), noise(lengths, [0.1] * 60))
    result = Robustness().evaluate(task, subject, RobustnessConfig(clips=10))
    assert set(accuracies(result).values()) == {1}
    assert result.details["accuracy"] == {one.key: [1] * 5 for one in CORRUPTIONS}


def test_an_encoder_of_levels_fails_on_quiet_sound() -> None:
    task = make_task(LABELS, SOURCES)
    level = [0.2 if label == "owl" else 0.02 for label in LABELS]
    encoder = Measure(lambda one: np.log(np.sqrt((one**2).mean()) + 1e-6))
    result = Robustness().evaluate(
        task, make_subject(encoder, noise([4000] * 60, level)), RobustnessConfig(clips=12)
    )
    # The border between the levels is 10 dB below the loud ones: 12 dB softer and more, these are as the soft ones.
    assert result.details["accuracy"]["quiet"] == [1, 0.5, 0.5, 0.5, 0.5]
    assert result.metrics["quiet"].value == pytest.approx(0.6)
    assert result.metrics["clean"].value == result.metrics["packet_loss"].value == 1
    everything = [value for one in result.details["accuracy"].values() for value in one]
    assert result.metrics["corrupted"].value == pytest.approx(np.mean(everything))
    interval = result.metrics["quiet"].interval
    assert interval is not None
    assert interval[0] < 0.6 < interval[1]


def test_as_many_clips_of_each_class_are_drawn_the_same_each_time() -> None:
    labels = ["owl"] * 40 + ["wren"] * 15 + ["tit"] * 5
    task = make_task(labels)
    drawn = draw_clips(task, 24)
    counts = np.bincount(task.label[task.tested[drawn]])
    assert dict(zip(task.classes, counts.tolist(), strict=True)) == {"owl": 10, "tit": 5, "wren": 9} or (
        dict(zip(task.classes, counts.tolist(), strict=True)) == {"owl": 9, "tit": 5, "wren": 10}
    )
    np.testing.assert_array_equal(drawn, draw_clips(make_task(labels), 24))
    assert len(draw_clips(task, 1000)) == 60
    assert len({seed_of(task, clip, n) for clip in range(60) for n in range(12)}) == 720


def test_sounds_are_test_clips_with_backgrounds_of_other_sources() -> None:
    task = make_task(LABELS, SOURCES)
    for number, fold in enumerate(task.folds):
        clip = int(fold.test[0])
        store = Store(noise([4000] * 60, [0.1] * 60))
        sound = sound_of(task, cast(Any, store), clip, number, 10)
        assert store.read_clips[0] == clip
        others = store.read_clips[1:]
        assert len(others) == 4
        assert set(others) <= set(fold.test.tolist())
        assert not set(task.sources[others]) & {task.sources[clip]}
        assert np.isfinite(sound.background).all()
        assert np.linalg.norm(sound.background) > 0


def test_of_a_long_clip_the_middle_is_used() -> None:
    task = make_task(LABELS, SOURCES)
    waveforms = [np.arange(30.0) for _ in LABELS]
    sound = sound_of(task, cast(Any, Store(waveforms)), int(task.folds[0].test[0]), 0, 10 / RATE)
    np.testing.assert_array_equal(sound.waveform, np.arange(10, 20))


def test_corpora_that_lack_something_are_refused() -> None:
    several: list[Sequence[str]] = [("owl", "wren"), ("owl",)] * 30
    config = RobustnessConfig()
    assert Robustness().lacks(make_task(several, SOURCES), config) == "clips with one label each"
    folds = [str(n // 20) for n in range(60)]
    one_source = make_task(LABELS, [f"source {n // 20}" for n in range(60)], folds)
    assert Robustness().lacks(one_source, config) == "test clips of two sources in each fold"
    assert Robustness().lacks(make_task(LABELS, SOURCES), config) == ""


def make_result(clean: float, corrupted: Sequence[float]) -> Result:
    """A result with these accuracies, in each resample less by 0 to 0.1."""
    less = np.linspace(0, 0.1, RESAMPLES)
    values = {
        "clean": clean,
        "corrupted": float(np.mean(corrupted)),
        **{one.key: value for one, value in zip(CORRUPTIONS, corrupted, strict=True)},
    }
    metrics = {key: Metric(value, (value - 0.1, value), value - less) for key, value in values.items()}
    return Result(
        metrics,
        {"clips": 48, "accuracy": {one.key: [n] * 5 for one, n in zip(CORRUPTIONS, corrupted, strict=True)}},
    )


def beside(encoder: Result, base: Result) -> dict[str, Result]:
    task: Task = make_task(LABELS, SOURCES)
    return dict(Robustness().beside(task, {"mel statistics": base, "pretrained": encoder}))


def test_corruption_errors_of_an_example_computed_by_hand() -> None:
    base, encoder = make_result(0.75, [0.5] * 12), make_result(0.95, [0.75] * 6 + [0.9] * 6)
    found = beside(encoder, base)
    mean, relative = (found["pretrained"].metrics[key] for key in (MEAN, RELATIVE))
    assert mean.value == pytest.approx((0.25 / 0.5 + 0.1 / 0.5) / 2)
    assert relative.value == pytest.approx((0.2 / 0.25 + 0.05 / 0.25) / 2)
    assert mean.resamples[-1] == pytest.approx((0.35 / 0.6 + 0.2 / 0.6) / 2)
    assert relative.resamples[-1] == pytest.approx(relative.value)  # both errors move alike
    assert mean.interval is not None
    assert mean.interval[0] == pytest.approx(np.percentile(mean.resamples, 2.5))
    assert [found["mel statistics"].metrics[key].value for key in (MEAN, RELATIVE)] == [1, 1]
    assert found["pretrained"].undefined == ()
    assert encoder.metrics.keys().isdisjoint({MEAN, RELATIVE})


def test_ratios_without_a_denominator_are_named_and_left_out() -> None:
    # Of white noise no errors; of pink noise as many as of clean clips.
    base = make_result(0.75, [1.0, 0.75, *[0.5] * 10])
    found = beside(make_result(0.95, [0.9, 0.9, *[0.75] * 10]), base)["pretrained"]
    assert found.metrics[MEAN].value == pytest.approx((0.1 / 0.25 + 10 * 0.25 / 0.5) / 11)
    assert found.metrics[RELATIVE].value == pytest.approx(0.2 / 0.25)
    assert [one.partition(":")[0] for one in found.undefined] == [
        "mean corruption error of white noise",
        "relative corruption error of white noise, pink noise",
    ]
    nothing = beside(make_result(0.9, [0.8] * 12), make_result(0.5, [0.5] * 12))["pretrained"]
    assert RELATIVE not in nothing.metrics
    assert nothing.undefined[0].endswith("it has no value")


def test_tables_and_picture(tmp_path: Path) -> None:
    task = make_task(LABELS, SOURCES)
    results = beside(make_result(0.95, [0.75] * 12), make_result(0.75, [0.5] * 12))
    suite, config = Robustness(), RobustnessConfig()
    encoders, corruptions = suite.tables(task, results, config)
    assert encoders.rows[0][:3] == ["chance", "50.0%", "50.0%"]
    assert encoders.rows[2][3].startswith("50.0% (")
    assert len(corruptions.rows) == 13
    assert corruptions.rows[1] == ["white noise", "SNR in dB: 30, 20, 10, 0, -10", "50.0%", "75.0%"]
    suite.figure(task, results, config, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10000
