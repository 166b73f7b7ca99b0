"""RunConfig: one run, composed of the slices that each package owns, from a preset or file and overrides."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from echopair.augment.policy import AugmentConfig
from echopair.models.encoders import EncoderConfig, ResNetConfig, check_input
from echopair.models.log_mel_config import AS_GIVEN, LogMelConfig
from echopair.models.methods import ObjectiveConfig, SimCLRConfig
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.config_errors import explain, nearest_key
from echopair.pipeline.config_text import KeyTypes, field_types
from echopair.pipeline.corpora import CorpusConfig
from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.errors import UserError, did_you_mean, listed
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.layers import PRESETS, TO_BE_SET, flatten, load, merge, parse_override, presets
from echopair.pipeline.pages import printable
from echopair.pipeline.prepare import PrepareConfig
from echopair.pipeline.ray_cluster import RayConfig
from echopair.pipeline.tracking import TrackingConfig
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import LearningConfig, PretrainConfig
from echopair.pipeline.training.schedule import check_schedule, scheduled

DEFAULT_PRESET = "synthetic"
SWEEP_KEY = "sweep"  # section of a file that `echopair sweep` alone reads
RUN_NAME_CHARACTERS = 200
# Of settings that change no result.
UNNAMED_KEYS = (
    *("work_folder=", "threads=", "tracking.", "ray.", "prepare.workers=", "prepare.on_ray="),
    *("pretrain.device=", "pretrain.processes=", "embed.device="),
)


class RunConfig(BaseModel, frozen=True, extra="forbid"):
    """One run of the pipeline."""

    run_name: str = Field(
        "run",
        min_length=1,
        max_length=RUN_NAME_CHARACTERS,
        description="what tables and the MLflow UI call the run",
    )
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="of everything random; equal seeds give equal runs on one CPU"
    )
    work_folder: Path = Field(Path("work"), description="where everything is written")
    threads: int | None = Field(
        None,
        ge=1,
        description="threads of a CPU's training; another number changes the rounding of sums",
    )
    corpora: dict[str, CorpusConfig] = Field(min_length=1, description="recordings, by a name of your choice")
    prepare: PrepareConfig = PrepareConfig()
    log_mel: LogMelConfig = LogMelConfig()
    crops: CropsConfig = CropsConfig()
    augment: AugmentConfig = AugmentConfig()
    encoder: EncoderConfig = ResNetConfig()
    projection: ProjectionConfig = ProjectionConfig()
    objective: ObjectiveConfig = SimCLRConfig()
    pretrain: PretrainConfig = PretrainConfig(epochs=100)
    embed: EmbedConfig = EmbedConfig()
    probe: ProbeConfig = ProbeConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name in self.corpora:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
                raise ValueError(f"corpora.{name}: name a corpus with at most 100 letters, digits, _ and -")
        for key, names in (
            ("pretrain.corpora", self.pretrain.corpora),
            ("probe.corpora", self.probe.corpora),
            ("probe.validation_corpora", self.probe.validation_corpora),
        ):
            for name in names:
                if name not in self.corpora:
                    raise ValueError(
                        f"{key}: there is no corpus {name!r}{did_you_mean(name, self.corpora)}; "
                        f"corpora are {', '.join(self.corpora)}"
                    )
        self.objective.check_batch(self.pretrain.batch_pairs, self.crops.views, self.crops.positives.name)
        check_schedule(self, self.pretrain.schedule)
        crop_samples = round(self.crops.crop_seconds * self.log_mel.sample_rate_hz)
        if crop_samples < self.log_mel.window_samples:
            raise ValueError(
                f"crops.crop_seconds={self.crops.crop_seconds:g} is shorter than "
                f"log_mel.window_seconds={self.log_mel.window_seconds:g}; take longer crops"
            )
        try:
            check_input(self.encoder, self.log_mel.mel_bands, self.log_mel.frames(crop_samples))
        except ValueError as error:
            keys = (
                f"log_mel.mel_bands={self.log_mel.mel_bands}, crops.crop_seconds={self.crops.crop_seconds:g}"
            )
            raise ValueError(f"{keys}: {error}") from error
        return self

    @property
    def pretrain_corpora(self) -> tuple[str, ...]:
        """Names of the corpora to learn from."""
        return self.pretrain.corpora or tuple(self.corpora)

    @property
    def probe_corpora(self) -> tuple[str, ...]:
        """Names of the corpora to probe; by default all but folders that say they have no labels."""
        unlabelled = {
            name for name, corpus in self.corpora.items() if getattr(corpus, "labels", None) == "none"
        }
        return self.probe.corpora or tuple(name for name in self.corpora if name not in unlabelled)

    @property
    def validation_corpora(self) -> tuple[str, ...]:
        """Names of the corpora whose clips give the validation score."""
        return self.probe.validation_corpora or self.probe_corpora

    @property
    def augment_configs(self) -> tuple[AugmentConfig, ...]:
        """How views are made in the course of the training: at its beginning, and after each change."""
        steps = (0, *(change.step for change in self.pretrain.schedule))
        return tuple(scheduled(self, self.pretrain.schedule, step).augment for step in steps)

    @property
    def learning(self) -> LearningConfig:
        """What decides the encoder."""
        return LearningConfig(**{name: getattr(self, name) for name in LearningConfig.model_fields})


def compose(sources: str | Sequence[str] | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The config of a run.

    Args:
        sources: names of presets or paths of YAML files (which may start from another preset by their key
            `preset`), later ones over earlier ones, their names joined. If only presets are given and none has
            a corpus, they override the preset `synthetic`.
        overrides: `dotted.key=value`, text as it is written and other values as in YAML; later ones win.

    Raises:
        UserError: an unknown preset, key or corpus, an unreadable file, a wrong type or a value out of range.
    """
    values = merge_layers(sources, overrides)
    return validated(values | {"run_name": named_after(str(values["run_name"]), overrides)})


def named_after(name: str, overrides: Sequence[str]) -> str:
    """The name of a run whose settings were overridden, as "synthetic objective.temperature=0.1".

    Args:
        name: of the presets and files; returned as it is if the overrides give one.
        overrides: `dotted.key=value`; those that change no result, or say where recordings are, are left out.
    """
    if any(override.startswith("run_name=") for override in overrides):
        return name
    named = [one for one in overrides if not one.startswith(UNNAMED_KEYS) and ".root=" not in one]
    return printable(" ".join([name, *named]), RUN_NAME_CHARACTERS - 3)


def merge_layers(
    sources: str | Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    packages: Sequence[str] = (PRESETS,),
    on_layer: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    more_defaults: Mapping[str, Any] | None = None,
    field: KeyTypes | None = None,
) -> dict[str, Any]:
    """Values of presets and files laid over the defaults, and overrides over them; as `compose`, unvalidated.

    Args:
        sources: see `compose`.
        overrides: see `compose`.
        packages: where presets are looked for.
        on_layer: what is done to the values of each preset, file and override before.
        more_defaults: of keys that a run does not have.
        field: gives the types of a key from its parts; by default of those of a run.

    Raises:
        UserError: an unknown preset, an unreadable file or override.
    """
    known = presets(*packages)
    named = [sources] if isinstance(sources, str) else list(sources or [])
    if all(source in known and "corpora" not in load(source, packages) for source in named):
        named.insert(0, DEFAULT_PRESET)
    values = default_values() | dict(more_defaults or {})
    for source in named:
        layer = load(source, packages, on_layer, field or run_field)
        if source != named[0] and "run_name" not in layer:
            layer["run_name"] = f"{values['run_name']}+{Path(source).stem}"
        values = merge(values, layer)
    # In one layer, so that a name and the settings that belong to it may come in any order.
    given: dict[str, Any] = {}
    for override in overrides:
        given = merge(given, on_layer(parse_override(override, field or run_field)))
    return merge(values, given)


def run_field(parts: Sequence[str]) -> list[Any]:
    """The types that a key of a run may have, from its parts; none if there is no such key."""
    return list(field_types(RunConfig, parts))


def validated(values: Mapping[str, Any], hint: Callable[[str], str] | None = None) -> RunConfig:
    """The config of a run from its values.

    Args:
        values: nested.
        hint: see `explain`.

    Raises:
        UserError: an unknown key or corpus, a value that is missing, of a wrong type or out of range.
    """
    for key, value in flatten(values):
        if value == TO_BE_SET:
            raise UserError(f"{key} is missing; add {key}=VALUE")
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, values, hint or run_key_hint)) from error


def as_given(config: BaseModel) -> dict[str, Any]:
    """The values of a config, nested, as in YAML; None where one follows another, such as `log_mel.max_hz`.

    Laid below other layers, such a value follows what they give.
    """
    return config.model_dump(mode="json", context=AS_GIVEN)


def default_values() -> dict[str, Any]:
    """The values of a run where nothing is set, nested, as in YAML."""
    fields = RunConfig.model_fields.items()
    defaults = {name: field.get_default() for name, field in fields if not field.is_required()}
    return {
        name: as_given(value) if isinstance(value, BaseModel) else value for name, value in defaults.items()
    }


def run_key_hint(key: str) -> str:
    """What an unknown key of a run was probably meant to be."""
    if key == SWEEP_KEY:
        return "; it is for `echopair sweep`, and no part of a run"
    section, _, last = key.rpartition(".")
    owners = [name for name, keys in _alternatives(section).items() if last in keys]
    if owners:
        return f"; it is a key of {section}.name={listed(owners)}"
    return nearest_key(key, run_keys(key))


def run_keys(key: str) -> set[str]:
    """The keys of a run that an unknown one may have been meant to be, of all alternatives of its section too."""
    known = {name for name, _ in flatten(default_values())} | set(RunConfig.model_fields)
    section = key.rpartition(".")[0]
    return known | {f"{section}.{name}" for keys in _alternatives(section).values() for name in keys}


def _alternatives(section: str) -> dict[str, set[str]]:
    """The keys of each alternative that a section's `name` chooses, by that name; none if it chooses nothing."""
    models = [one for one in field_types(RunConfig, section.split(".")) if isinstance(one, type)]
    return {
        str(one.model_fields["name"].default): set(one.model_fields)
        for one in models
        if issubclass(one, BaseModel) and "name" in one.model_fields
    }
