from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from echopair.pipeline.config import as_given, compose, validated
from echopair.pipeline.errors import UserError
from echopair.pipeline.layers import SWEEP_PRESETS, presets
from echopair.tuning.config import (
    SweepConfig,
    SweepSettings,
    compose_sweep,
    validated_settings,
)
from echopair.tuning.distributions import in_words

SPACE = {"encoder.width": [16, 32]}


def write(file: Path, **values: Any) -> str:
    file.write_text(yaml.safe_dump(values))
    return str(file)


def swept(settings: SweepSettings) -> dict[str, str]:
    return {
        key: ", ".join(in_words(value) for value in distribution.ends())
        for key, distribution in settings.sweep.space.items()
    }


def test_the_password_of_the_tracking_store_is_kept_and_not_dumped() -> None:
    settings = compose_sweep(["tracking.uri=http://me:secret@host"])
    assert settings.run.tracking.uri == "http://me:secret@host"
    assert "secret" not in settings.model_dump_json()


def test_presets_files_and_overrides_lie_over_each_other(tmp_path: Path) -> None:
    first = write(
        tmp_path / "first.yaml",
        objective={"temperature": 0.3},
        seed=5,
        sweep={
            "space": SPACE,
            "milestones": 4,
            "scheduler": {"name": "asha", "reduction_factor": 4},
        },
        ray={"address": "10.0.0.5:6379"},
    )
    second = write(tmp_path / "second.yaml", seed=6, sweep={"milestones": 5, "seed": 7})
    settings = compose_sweep(
        ["synthetic", first, second, "seed=8", "sweep.search={name: random, trials: 4}", "ray.address=auto"]
    )
    assert (settings.run.objective.temperature, settings.run.seed) == (0.3, 8)
    assert (settings.sweep.milestones, settings.sweep.seed) == (5, 7)
    assert swept(settings) == {"encoder.width": "16, 32"}
    assert settings.sweep.search.model_dump() == {"name": "random", "trials": 4}
    assert settings.sweep.scheduler.model_dump() == {
        "name": "asha",
        "reduction_factor": 4,
        "first_milestone": 1,
    }
    assert settings.run.ray.address == "auto"
    with pytest.raises(UserError, match=r"ray\.address"):
        compose_sweep(["synthetic", first, "ray.address=nowhere"])


@pytest.mark.parametrize("preset", presets(SWEEP_PRESETS))
def test_every_sweep_preset_is_valid_and_says_what_it_is(preset: str) -> None:
    settings = compose_sweep([preset])
    assert settings.sweep.sweep_name == preset
    assert settings.sweep.space
    assert presets(SWEEP_PRESETS)[preset].startswith("Sweep: ")


def test_a_sweep_of_which_nothing_is_said_is_the_built_in_one() -> None:
    assert compose_sweep([]) == compose_sweep(["quick"])
    assert list(compose_sweep([]).run.corpora) == ["sound_events"]


def test_without_a_space_the_default_one_lies_below_all_that_is_given(tmp_path: Path) -> None:
    file = write(tmp_path / "my.yaml", preset="synthetic", sweep={"sweep_name": "mine", "milestones": 3})
    settings = compose_sweep([file])
    assert swept(settings) == {"objective.temperature": "0.05, 1.0", "augment.strength": "0.0, 1.5"}
    assert settings.sweep.scheduler.name == "asha"
    assert (settings.sweep.sweep_name, settings.sweep.milestones) == ("mine", 3)
    random = compose_sweep([file, "sweep.search={name: random, trials: 4}", "sweep.scheduler.name=fifo"])
    assert (random.sweep.search.name, random.sweep.scheduler.name) == ("random", "fifo")


def test_overrides_change_parts_of_a_space_and_take_keys_out() -> None:
    changed = compose_sweep(["synthetic", "sweep.space.objective.temperature.low=0.1"])
    assert swept(changed)["objective.temperature"] == "0.1, 1.0"
    assert changed.sweep.space["objective.temperature"].points == 4  # type: ignore[union-attr]
    without = compose_sweep(["synthetic", "sweep.space.augment.strength=null"])
    assert list(without.sweep.space) == ["objective.temperature"]
    other = compose_sweep(["first-look", "sweep.space.pretrain.learning_rate=[0.001, 0.002]"])
    assert swept(other)["pretrain.learning_rate"] == "0.001, 0.002"
    assert len(other.sweep.space) == 5


def test_a_whole_domain_is_a_space_of_its_own() -> None:
    settings = compose_sweep(["synthetic", "sweep.space.encoder.width=[16, 32]"])
    assert swept(settings) == {"encoder.width": "16, 32"}
    assert (settings.sweep.search.name, settings.sweep.scheduler.name) == ("random", "fifo")


@pytest.mark.parametrize("spelling", ["dotted", "nested"])
@pytest.mark.parametrize("below", ["preset in the file", "preset before the file"])
def test_a_file_adds_to_the_space_of_a_preset_however_it_is_spelt(
    tmp_path: Path, spelling: str, below: str
) -> None:
    distribution = {"low": 0.2}
    spellings: dict[str, dict[str, Any]] = {
        "dotted": {"objective.temperature": distribution, "augment.strength": None, **SPACE},
        "nested": {
            "objective": {"temperature": distribution},
            "augment": {"strength": None},
            "encoder": {"width": [16, 32]},
        },
    }
    key = {"preset": "temperature-strength"} if below == "preset in the file" else {}
    file = write(
        tmp_path / "my.yaml", **key, sweep={"space": spellings[spelling], "search": {"name": "random"}}
    )
    sources = ["synthetic", file] if key else ["synthetic", "temperature-strength", file]
    settings = compose_sweep(sources)
    assert swept(settings) == {"objective.temperature": "0.2, 1.0", "encoder.width": "16, 32"}


def test_a_swept_name_leaves_the_settings_beside_it_in_the_space() -> None:
    laid = ["sweep.space.encoder.width=[16, 32]", "sweep.space.encoder.name=[resnet]"]
    assert list(compose_sweep(["synthetic", *laid]).sweep.space) == ["encoder.width", "encoder.name"]
    part = compose_sweep(["first-look", "sweep.space.crops.positives.name.values=[same_crop]"])
    assert swept(part)["crops.positives.name"] == "same_crop"


def test_settings_of_the_default_search_can_be_given_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "my.yaml", preset="synthetic", sweep={"space": SPACE, "search": {"trials": 2}})
    assert compose_sweep([file]).sweep.search.model_dump() == {"name": "random", "trials": 2}
    assert compose_sweep([file, "sweep.search.name=grid"]).sweep.search.name == "grid"


def test_headings_with_nothing_below_say_nothing(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("preset: first-look\nsweep:\n#  readings: 3\n")
    assert len(compose_sweep(["synthetic", str(file)]).sweep.space) == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.serch.name=grid"], r"unknown key 'sweep\.serch'; did you mean 'sweep\.search'\?"),
        (["swep.milestones=3"], r"unknown key 'swep'; did you mean 'sweep'\?"),
        (["milestones=3"], r"unknown key 'milestones'; did you mean 'sweep\.milestones'\?"),
        (["sweep.readings=3"], r"sweep\.readings.*; it is sweep\.milestones now"),
        (["ray.storage=copied"], r"ray\.storage.*work_folder has to be on storage that all nodes see"),
        (["sweep.trials=3"], r"unknown key 'sweep\.trials'; did you mean 'sweep\.search\.trials'\?"),
        (["sweep.name=x"], r"unknown key 'sweep\.name'; did you mean 'sweep\.sweep_name'\?"),
        (["sweep.objective=x"], r"'sweep\.objective'; did you mean 'sweep\.space\.objective'\?"),
        (
            ["sweep.search.trials=3"],
            r"unknown key 'sweep\.search\.trials'; sweep\.search\.name=random or optuna",
        ),
        (["sweep.scheduler.interval=3"], r"'sweep\.scheduler\.interval'; sweep\.scheduler\.name=pbt has it"),
        (["sweep.search={name: random, trails: 3}"], r"did you mean 'sweep\.search\.trials'\?"),
        (["sweep.search.name=grd"], r"sweep\.search.*'grd'.*'grid', 'random', 'optuna'"),
        (
            ["sweep.search=grid"],
            r"sweep\.search holds keys and values; did you mean sweep\.search\.name=grid\?",
        ),
        (["sweep=3"], r"sweep=3: it holds keys and values, as sweep\.milestones=9"),
        (["ray=3"], r"ray=3: it holds keys and values"),
        (["ray.adress=auto"], r"unknown key 'ray\.adress'; did you mean 'ray\.address'\?"),
        (
            ["sweep.milestones=0"],
            r"sweep\.milestones=0: input should be greater than or equal to 1",
        ),
        (["sweep.retries=-1"], r"sweep\.retries=-1: input should be greater"),
        (["sweep.seed=x"], r"sweep\.seed='x': input should be a valid integer"),
        (["sweep.score=accuracy"], r"sweep\.score='accuracy': input should be 'linear_probe' or 'nearest"),
        (["sweep.space=3"], r"sweep\.space=3: it holds keys and values, as sweep\.space\.objective"),
        (["sweep.space=null"], r"sweep\.space is empty; give at least one key, as sweep\.space\.objective"),
        (
            ["sweep.space.augment.strength=null", "sweep.space.objective.temperature=null"],
            r"sweep\.space is empty; give at least one key",
        ),
        (
            ["sweep.space.objective.temprature=[0.1]"],
            r"sweep\.space: unknown key 'objective\.temprature'; did you mean 'objective\.temperature'\?",
        ),
        (
            ["sweep.space.objective.temprature.low=0.1"],
            r"sweep\.space\.objective\.temprature={low: 0\.1} has no name; .*did you mean 'objective\.temperature'",
        ),
        (
            ["sweep.space.augment.strength.hihg=1"],
            r"'sweep\.space\.augment\.strength\.hihg'; did you mean 'high'\?",
        ),
        (
            ["sweep.space.augment.strength.log=true"],
            r"'sweep\.space\.augment\.strength\.log'; sweep\.space\.augment\.strength\.name=integers has it",
        ),
        (
            ["sweep.space.augment.strength.low=2"],
            r"sweep\.space\.augment\.strength: low=2 must be below high=1\.5",
        ),
        (
            ["sweep.space.augment.strength.high=9"],
            r"sweep\.space: augment\.strength=9.*less than or equal to 4",
        ),
        (["sweep.space.augment.strength=1"], r"sweep\.space\.augment\.strength=1 is one value; write a list"),
        (["sweep.space.probe.folds=[2, 3]"], r"sweep\.space\.probe\.folds: .* cannot be swept"),
        (
            ["sweep.space.pretrain.processes=[1, 2]"],
            r"pretrain\.processes cannot be swept: a trial is trained by one",
        ),
        (["pretrain.processes=2"], r"^pretrain\.processes=2: a trial of a sweep is trained by one process"),
        (["objective.temprature=0.1"], r"unknown key 'objective\.temprature'; did you mean 'objective\.temp"),
        (["objective.temperature=-1"], r"^objective\.temperature=-1: input should be greater than 0"),
        (["corpora.more={name: folder}"], r"^corpora\.more\.root is missing; add corpora\.more\.root=VALUE"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        compose_sweep(["synthetic", *overrides])
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_preset_is_looked_for_among_those_of_runs_and_of_sweeps() -> None:
    with pytest.raises(UserError, match=r"'first-lok'; did you mean 'first-look'\?"):
        compose_sweep(["first-lok"])
    with pytest.raises(UserError, match=r"'synthetik'; did you mean 'synthetic'\?"):
        compose_sweep(["synthetik"])


def test_a_run_says_where_the_section_of_a_sweep_belongs(tmp_path: Path) -> None:
    file = write(tmp_path / "my.yaml", preset="synthetic", sweep={"space": SPACE})
    with pytest.raises(UserError, match=r"unknown key 'sweep'; .*`echopair sweep`"):
        compose(file)


@pytest.mark.parametrize(
    "change",
    [
        "sweep.space.objective.temperature.low=0.06",
        "sweep.space.augment.strength=null",
        "sweep.seed=1",
        "sweep.search={name: random, trials: 16}",
        "sweep.scheduler.name=fifo",
        "sweep.scheduler.reduction_factor=2",
        "sweep.score=nearest_neighbours",
        "sweep.milestones=8",
        "sweep.sweep_name=other",
        "seed=1",
        "objective.temperature=0.3",
        "pretrain.steps=10",
        "probe.folds=3",
        "corpora.sound_events.clips_per_kind=30",
        "prepare.min_seconds=0.2",
    ],
)
def test_what_changes_results_makes_another_sweep(change: str) -> None:
    assert compose_sweep(["synthetic", change]).key != compose_sweep(["synthetic"]).key


@pytest.mark.parametrize(
    "change",
    [
        "work_folder=/elsewhere",
        "tracking.uri=http://127.0.0.1:5000",
        "tracking.experiment=other",
        "run_name=other",
        "threads=3",
        "sweep.retries=0",
        "sweep.resources.trials_at_once=1",
        "ray.address=auto",
        "prepare.on_ray=true",
        "sweep.scheduler.reduction_factor=3.0",  # the default, as it is written
    ],
)
def test_where_and_how_fast_it_runs_makes_no_other_sweep(change: str) -> None:
    assert compose_sweep(["synthetic", change]).key == compose_sweep(["synthetic"]).key


@pytest.mark.parametrize(
    "arguments",
    [
        *([preset] for preset in presets(SWEEP_PRESETS)),
        ["waveform", "sweep.scheduler.name=asha", "sweep.search.name=random"],
        ["synthetic", "sweep.scheduler.name=pbt", "sweep.search.name=optuna", "pretrain.minutes=2"],
        [
            "synthetic",
            "sweep.space.encoder=[{name: resnet, width: 16}, {name: vgg_like}]",
            "sweep.space.pretrain.weight_decay={name: log_uniform, low: 1e-5, high: 1e-3}",
            "sweep.space.augment.policy.augmentations=[[gain], [gain, {name: tilt}]]",
            "sweep.space.seed={name: grid, values: [0, 1]}",
            "sweep.sweep_name=sweep of Zürich",
        ],
    ],
)
def test_settings_are_the_same_after_a_way_through_yaml(arguments: list[str]) -> None:
    settings = compose_sweep(arguments)
    text = yaml.safe_dump(as_given(settings), sort_keys=False)
    read = validated_settings(yaml.safe_load(text))
    assert read == settings
    assert read.key == settings.key
    again = validated_settings(yaml.safe_load(yaml.safe_dump(as_given(read))))
    assert again.key == settings.key


def test_a_default_that_is_written_as_a_whole_number_is_the_same_default() -> None:
    # pydantic does not convert defaults: 3 before, and 3.0 after it was written and read.
    base = compose_sweep(["synthetic"])
    sweep = base.sweep.model_dump(mode="json") | {"scheduler": {"name": "asha"}}
    settings = validated_settings({"run": base.run.model_dump(mode="json"), "sweep": sweep})
    read = validated_settings(settings.model_dump(mode="json"))
    assert read.key == settings.key


def test_every_key_is_described() -> None:
    def describe(model: type[BaseModel], prefix: str) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                describe(inner, f"{prefix}{name}.")
            else:
                assert field.description or name in ("search", "scheduler"), f"{prefix}{name}"

    describe(SweepConfig, "sweep.")


def test_text_of_a_sweep_is_taken_as_it_is_written() -> None:
    settings = compose_sweep(
        ["quick", "sweep.sweep_name=2024 #2", "sweep.space.encoder.name=[vgg_like, resnet]"]
    )
    assert settings.sweep.sweep_name == "2024 #2"
    assert settings.sweep.space["encoder.name"].values == ("vgg_like", "resnet")  # type: ignore[union-attr]


def test_the_mel_range_of_a_trial_follows_a_swept_rate_unless_it_is_given() -> None:
    space = "sweep.space.log_mel.sample_rate_hz=[8000, 32000]"
    for overrides, expected in (([space], (3900, 15600)), ([space, "log_mel.max_hz=3000"], (3000, 3000))):
        settings = compose_sweep(overrides)
        again = validated_settings(yaml.safe_load(yaml.safe_dump(as_given(settings))))
        assert again.key == settings.key
        trials = [validated(again.values_of({"log_mel.sample_rate_hz": rate})) for rate in (8000, 32000)]
        assert tuple(trial.log_mel.max_hz for trial in trials) == expected


def test_text_in_the_space_of_a_file_is_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "preset: synthetic\nsweep: {sweep_name: 2024, space: {pretrain.precision: [bfloat16, float32]}}\n"
    )
    settings = compose_sweep([str(file)])
    assert settings.sweep.sweep_name == "2024"
    assert swept(settings)["pretrain.precision"] == "bfloat16, float32"
