"""What is found and done before the first trial, on recordings of a second; no trial is run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.pipeline.errors import UserError
from echopair.tuning.config import SweepSettings, compose_sweep
from echopair.tuning.preparation import check_sweep, prepare_sweep
from tests.tuning.tones import write_run

TEMPERATURE = "sweep.space.objective.temperature=[0.1, 0.5]"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose work folder the tests share: clips are prepared, and MLflow's tables made, once."""
    return write_run(tmp_path_factory.mktemp("run"))


def settings_of(file: Path, *overrides: str) -> SweepSettings:
    return compose_sweep([str(file), TEMPERATURE, *overrides])


def prepared_corpora(settings: SweepSettings) -> dict[int, set[str]]:
    prepared = prepare_sweep(settings, check_sweep(settings))
    return {rate: set(result.clips) for rate, result in prepared.items()}


def other_corpus(folder: Path) -> str:
    recordings = folder / "other"
    recordings.mkdir()
    noise = np.random.default_rng(0).normal(scale=0.1, size=16000)
    soundfile.write(recordings / "1.wav", noise, 16000)
    return f"corpora.other={{name: folder, root: {recordings}, labels: none}}"


def test_a_corpus_that_only_some_trials_learn_from_is_prepared_too(file: Path, tmp_path: Path) -> None:
    other = other_corpus(tmp_path)
    learns = "sweep.space.pretrain.corpora=[[tones], [other], [tones, other]]"
    settings = settings_of(file, other, "pretrain.corpora=[tones]", "probe.corpora=[tones]", learns)
    assert prepared_corpora(settings) == {16000: {"tones", "other"}}


def test_rates_that_fit_together_with_a_trial_s_other_values_are_prepared(file: Path) -> None:
    # The run's own limits lie above half of the lower rate.
    settings = settings_of(
        file,
        "log_mel.max_hz=7800",
        "sweep.space.log_mel.sample_rate_hz=[16000, 8000]",
        "sweep.space.log_mel.max_hz=[3900]",
    )
    assert set(prepared_corpora(settings)) == {16000, 8000}


def test_positives_that_would_learn_what_is_probed_are_refused_beforehand(file: Path) -> None:
    settings = settings_of(file, "sweep.space.crops.positives.name=[two_offsets, same_label]")
    with pytest.raises(UserError, match="same_label learns from the labels of 'tones'"):
        prepare_sweep(settings, check_sweep(settings))


def test_a_class_that_loses_its_recordings_is_noticed_before_any_trial(file: Path, tmp_path: Path) -> None:
    recordings = shutil.copytree(file.parent / "recordings", tmp_path / "recordings")
    settings = settings_of(file, f"corpora.tones.root={recordings}")
    rows = (recordings / "labels.csv").read_text() + "rare-1.wav,rare,1\nrare-2.wav,rare,3\n"
    (recordings / "labels.csv").write_text(rows)
    soundfile.write(recordings / "rare-1.wav", np.random.default_rng(0).normal(scale=0.1, size=9000), 16000)
    soundfile.write(recordings / "rare-2.wav", np.zeros(9000), 16000)  # silent, and refused
    with pytest.raises(UserError, match=r"class 'rare' \(rare-1.wav\) has one clip"):
        prepare_sweep(settings, check_sweep(settings))
