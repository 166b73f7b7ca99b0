import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from echopair.pipeline.config import RunConfig, as_given, compose
from echopair.pipeline.errors import UserError
from echopair.pipeline.layers import flatten, merge, presets


def test_defaults_preset_file_and_overrides_in_turn(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("preset: synthetic\nobjective: {temperature: 0.3}\nseed: 5\n")
    config = compose(str(file), ["objective.temperature=0.1", "encoder.width=16"])
    assert config.objective.temperature == 0.1
    assert config.seed == 5
    assert config.encoder.width == 16  # type: ignore[union-attr]
    assert list(config.corpora) == ["sound_events"]
    assert compose() == compose("synthetic")


@pytest.mark.parametrize("preset", presets())
def test_every_preset_is_valid_and_says_what_it_is(preset: str) -> None:
    roots = [
        f"corpora.{name}.root=/data"
        for name in ("recordings", "us8k", "esc10", "esc50", "fsdnoisy18k", "fsd50k")
    ]
    text = yaml.safe_load((Path("pipeline/presets") / f"{preset}.yaml").read_text())
    corpora = text.get("corpora", {})
    wanted = [root for root in roots if root.split(".")[1] in corpora and "synthetic" not in preset]
    config = compose(preset, wanted)
    assert config.run_name == (preset if corpora else f"synthetic+{preset}")
    assert len(presets()[preset]) > 20
    assert config.pretrain.corpora or config.pretrain_corpora == tuple(config.corpora)


def test_the_preset_of_fonseca_2021_has_the_values_of_the_paper_and_its_code() -> None:
    config = compose(["fsdnoisy18k", "fonseca2021"], ["corpora.fsdnoisy18k.root=/data"])
    log_mel = config.log_mel
    assert (log_mel.sample_rate_hz, log_mel.transform_samples) == (22050, 2048)
    assert (log_mel.window_samples, log_mel.hop_samples) == (660, 220)
    assert (log_mel.mel_bands, log_mel.min_hz, log_mel.max_hz) == (96, 50, 10500)
    assert log_mel.frames(round(config.crops.crop_seconds * 22050)) == 101
    mix_back, crop, compander, noise = config.augment.policy.augmentations
    assert mix_back.max_background_share == 0.05
    assert (crop.min_area, crop.max_aspect_ratio) == (0.8, 4 / 3)
    assert 1 / compander.max_exponent == 0.75
    assert noise.max_deviation_db == 10 * 0.01  # of log10
    assert (config.encoder.width, config.encoder.stem, config.encoder.blocks) == (64, "coarse", (2, 2, 2, 2))
    assert (config.projection.hidden_dim, config.projection.projection_dim) == (512, 512)
    assert (config.objective.name, config.objective.temperature) == ("nt_xent", 0.2)
    pretrain = config.pretrain
    assert (pretrain.optimiser, pretrain.learning_rate, pretrain.momentum) == ("sgd", 0.03, 0.9)
    assert (pretrain.batch_pairs, pretrain.epochs, pretrain.weight_decay) == (128, 500, 1e-4)
    assert [500 * share for share in pretrain.rate_drops] == [325, 425]
    assert config.run_name == "fsdnoisy18k+fonseca2021"


def test_presets_and_files_are_laid_one_over_the_other(tmp_path: Path) -> None:
    colder = tmp_path / "colder.yaml"
    colder.write_text("objective: {temperature: 0.05}\nseed: 3\n")
    config = compose(["folder", "waveform", str(colder)], ["corpora.recordings.root=/data", "seed=4"])
    assert config.run_name == "folder+waveform+colder seed=4"
    assert list(config.corpora) == ["recordings"]
    assert (config.objective.temperature, config.seed) == (0.05, 4)
    assert config.augment == compose("waveform").augment != compose().augment
    with pytest.raises(UserError, match="corpora"):
        compose(str(colder))


def test_the_whole_config_is_yaml_that_composes_to_itself(tmp_path: Path) -> None:
    config = compose("synthetic", ["augment.strength=0.5", "pretrain.steps=7"])
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert compose(str(file)) == config


def test_the_mel_range_follows_the_sample_rate_from_any_layer() -> None:
    assert compose().log_mel.max_hz == 7800
    assert compose("synthetic", ["log_mel.sample_rate_hz=48000"]).log_mel.max_hz == 23400
    given = ["log_mel.sample_rate_hz=48000", "log_mel.max_hz=7800"]
    assert compose("synthetic", given).log_mel.max_hz == 7800


def test_the_mel_range_follows_a_rate_that_overrides_a_written_config(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    for overrides, expected in (([], 15600), (["log_mel.max_hz=7800"], 7800)):
        file.write_text(yaml.safe_dump(as_given(compose("synthetic", overrides))))
        assert compose(str(file), ["log_mel.sample_rate_hz=32000"]).log_mel.max_hz == expected


def test_a_name_and_its_settings_may_come_in_any_order() -> None:
    forwards = [
        "augment.policy.name=random",
        "augment.policy.operations=3",
        "crops.positives.name=neighbours",
    ]
    policy = compose("synthetic", forwards[::-1]).augment.policy
    assert policy == compose("synthetic", forwards).augment.policy
    assert policy.operations == 3  # type: ignore[union-attr]


def test_another_alternative_leaves_the_settings_of_the_first_behind() -> None:
    config = compose("synthetic", ["encoder.width=64", "encoder.name=vgg_like"])
    assert config.encoder.name == "vgg_like"


def test_one_budget_takes_the_others_away() -> None:
    config = compose("synthetic", ["pretrain.minutes=15"])
    assert (config.pretrain.minutes, config.pretrain.epochs, config.pretrain.steps) == (15, None, None)


def test_merging_changes_neither_layer() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": [1]}
    layer = {"a": {"x": 3}, "b": [2]}
    assert merge(base, layer) == {"a": {"x": 3, "y": 2}, "b": [2]}
    assert base == {"a": {"x": 1, "y": 2}, "b": [1]}


def test_flat_keys() -> None:
    flat = dict(flatten(compose().model_dump(mode="json")))
    assert flat["objective.temperature"] == 0.2
    assert flat["corpora.sound_events.clips_per_kind"] == 60


def test_unlabelled_folders_are_not_probed() -> None:
    config = compose("folder-unlabelled", ["corpora.recordings.root=/data"])
    assert config.probe_corpora == ()
    assert config.pretrain_corpora == ("recordings",)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["objective.temprature=0.1"],
            r"unknown key 'objective\.temprature'; did you mean 'objective\.temperature'\?",
        ),
        (
            ["objective.name=triplet", "objective.temperature=0.1"],
            r"unknown key 'objective\.temperature'; it is a key of objective\.name=nt_xent, .*, \.\.\.$",
        ),
        (
            ["objective.name=triplet", "objective.margn=1"],
            r"unknown key 'objective\.margn'; did you mean 'objective\.margin'\?",
        ),
        (
            ["objective.name=simsiam", "objective.queue_keys=300"],
            r"unknown key 'objective\.queue_keys'; it is a key of objective\.name=moco, mochi$",
        ),
        (["temperature=0.1"], r"unknown key 'temperature'; did you mean 'objective\.temperature'\?"),
        (["corpora.sound_events.clips=9"], r"unknown key 'corpora\.sound_events\.clips'; did you mean"),
        (["objective.temperature=warm"], r"objective\.temperature='warm': input should be a valid number"),
        (["objective.temperature=-1"], r"objective\.temperature=-1: input should be greater than 0"),
        (["objective.temperature=.nan"], r"objective\.temperature=nan: input should be"),
        (["pretrain.batch_pairs=1"], r"pretrain\.batch_pairs=1: input should be greater than or equal to 2"),
        (["pretrain.batch_pairs=2.5"], r"pretrain\.batch_pairs=2\.5: input should be a valid integer"),
        (["encoder.name=resnett"], r"encoder.*resnett.*'resnet', 'vgg_like', 'crnn', 'timm'"),
        (["encoder.width=12"], r"encoder\.width=12: .*multiple of 8"),
        (
            ["probe.corpora=[sound_event]"],
            r"probe\.corpora: there is no corpus 'sound_event'; did you mean 'sound_events'",
        ),
        (["log_mel.max_hz=9000"], r"log_mel: max_hz=9000 is above half of sample_rate_hz=16000"),
        (
            ["crops.crop_seconds=0.1", "log_mel.window_seconds=0.2"],
            r"crops\.crop_seconds=0\.1 is shorter than",
        ),
        (["augment.strength=5"], r"augment\.strength=5: input should be less than or equal to 4"),
        (["seed"], r"'seed' is not an override; write key=value"),
        (["seed=[1"], r"'seed=\[1' is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        compose("synthetic", overrides)
    assert len(str(error.value).splitlines()) <= 2


CONFIG_MODULES = (
    "augment.policy",
    "models.audio_encoder",
    "pipeline.config",
    "tuning.config",
    "tuning.ray_trials",
)


def configs(model: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for module in CONFIG_MODULES:
        importlib.import_module(f"echopair.{module}")
    for config in model.__subclasses__():
        yield config
        yield from configs(config)


def test_an_error_names_the_key_where_an_alternative_and_its_key_are_called_alike() -> None:
    table = "corpora.c={name: table, root: /data, table: a.csv, path: path, label: x}"
    with pytest.raises(UserError, match=r"^corpora\.c\.path: 'path' contains no column"):
        compose("synthetic", [table])
    with pytest.raises(UserError, match=r"^corpora\.c\.table=\[1\]: "):
        compose("synthetic", [table.replace("a.csv", "[1]").replace("path: path", "path: '{path}'")])


def test_no_number_of_a_config_may_be_nan_or_infinite() -> None:
    seen = 0
    for config in {one for one in configs() if one.__module__.startswith("echopair.")}:
        for name, field in config.model_fields.items():
            # What a sweep writes of its trials is no setting.
            if "float" not in str(field.annotation) or config.__module__.endswith("tuning.trials"):
                continue
            field_type = TypeAdapter(
                Annotated[field.annotation, *(field.metadata or [None])],
                config={"allow_inf_nan": config.model_config.get("allow_inf_nan", True)},
            )
            seen += 1
            for value in (".nan", ".inf", "-.inf"):
                number = yaml.safe_load(value)
                for given in (number, str(number), [number]):
                    with pytest.raises(ValidationError):
                        field_type.validate_python(given)
                        pytest.fail(f"{config.__name__}.{name} takes {given!r}")
    assert seen > 100


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["encoder.name=crnn", "log_mel.mel_bands=32"],
            r"log_mel\.mel_bands=32.*encoder 'crnn' needs at least 40",
        ),
        (["crops.crop_seconds=0.1"], r"crop_seconds=0\.1: crops of 10 frames: .* 'resnet' needs at least 16"),
        (["log_mel.hop_seconds=0.064"], r"crops of 15 frames"),
        (["probe.C=[0.1, -1]"], r"probe\.C\.1=-1: input should be greater than 0"),
        (["pretrain.minutes=inf"], r"pretrain\.minutes='inf': input should be a finite number"),
    ],
)
def test_what_the_encoder_or_the_classifier_cannot_take_is_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        compose("synthetic", overrides)


def test_roots_that_are_not_set_are_asked_for() -> None:
    with pytest.raises(UserError, match=r"corpora\.us8k\.root is missing; add corpora\.us8k\.root=VALUE"):
        compose("us8k-to-esc10")


def test_presets_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"there is no preset or file 'synthetik'; did you mean 'synthetic'\?"
    ):
        compose("synthetik")
    with pytest.raises(UserError, match=r"my\.yaml: there is no such file"):
        compose("my.yaml")
    (tmp_path / "bad.yaml").write_text("seed: [1")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        compose(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match=r"list\.yaml must hold keys and values"):
        compose(str(tmp_path / "list.yaml"))


def test_results_do_not_depend_on_where_things_run() -> None:
    here, there = (
        compose(),
        compose("synthetic", ["pretrain.device=cpu", "pretrain.workers=1", "pretrain.log_every_steps=3"]),
    )
    assert here.learning.key_inputs() == there.learning.key_inputs()
    assert compose("synthetic", ["seed=1"]).learning.key_inputs() != here.learning.key_inputs()


def test_every_key_is_described() -> None:
    def describe(model: type, prefix: str = "") -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                describe(inner, f"{prefix}{name}.")
            elif prefix and name != "name":
                assert field.description or hasattr(field.annotation, "__args__"), f"{prefix}{name}"

    describe(RunConfig)


def test_a_run_is_named_after_its_preset_and_what_was_overridden() -> None:
    place = ["work_folder=/data/work", "threads=2", "tracking.experiment=birds"]
    assert compose("synthetic", place).run_name == "synthetic"
    named = compose("synthetic", ["objective.temperature=0.1", *place]).run_name
    assert named == "synthetic objective.temperature=0.1"
    assert compose("synthetic", ["seed=1", "run_name=mine"]).run_name == "mine"
    assert len(compose("synthetic", ["seed=1000000000"] * 20).run_name) <= 200
