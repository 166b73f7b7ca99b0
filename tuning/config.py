"""SweepSettings: a run to vary, how to vary it, and where its trials run; from presets, files and overrides."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from echopair.pipeline.config import (
    SWEEP_KEY,
    RunConfig,
    as_given,
    merge_layers,
    run_field,
    run_keys,
    validated,
)
from echopair.pipeline.config_errors import explain, nearest_key
from echopair.pipeline.config_text import field_types
from echopair.pipeline.errors import UserError, did_you_mean
from echopair.pipeline.layers import PRESETS, SWEEP_PRESETS, split_arguments
from echopair.pipeline.stages import digest_values
from echopair.tuning.distributions import Distribution
from echopair.tuning.resources import ResourcesConfig
from echopair.tuning.sampler import RandomSearchConfig, SearchConfig
from echopair.tuning.schedulers import FifoConfig, SchedulerConfig
from echopair.tuning.space import lay_over, nested, space_of
from echopair.tuning.space_check import check_space

DEFAULT_SWEEP = "temperature-strength"
BUILT_IN = "quick"  # where no preset or file is given
SPACE = "space"
# Keys of earlier versions.
RENAMED = {"sweep.readings": "sweep.milestones"}


class SweepConfig(BaseModel, frozen=True, extra="forbid"):
    """What is varied, how often, and by what it is judged."""

    sweep_name: str = Field(
        "sweep", min_length=1, max_length=200, description="what tables and the MLflow UI call the sweep"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the sampler; equal seeds propose equal trials")
    space: dict[str, Distribution] = Field(description="swept dotted keys of the run and their distributions")
    search: SearchConfig = RandomSearchConfig()
    scheduler: SchedulerConfig = FifoConfig()
    score: Literal["linear_probe", "nearest_neighbours"] = Field(
        "linear_probe", description="what finished trials are compared by, on validation clips"
    )
    milestones: int = Field(
        9,
        ge=1,
        le=1000,
        description="points at equal distances in a training at which the nearest-neighbour probe scores the encoder",
    )
    retries: int = Field(2, ge=0, le=100, description="how often a trial that crashed is started again")
    resources: ResourcesConfig = ResourcesConfig()


class SweepSettings(BaseModel, frozen=True, extra="forbid"):
    """A sweep: the run that is varied, and how."""

    run: RunConfig
    sweep: SweepConfig

    @property
    def key(self) -> str:
        """Key of all that decides which trials there are and how they are judged."""
        # Dumped and validated again: pydantic does not convert defaults, and 3 would have another digest than 3.0.
        plain = as_given(type(self).model_validate(as_given(self)))
        run = _without(plain["run"], "run_name", "work_folder", "threads", "tracking", "ray")
        run["prepare"] = _without(run["prepare"], "workers", "on_ray")
        return digest_values(
            "sweep",
            run,
            _without(plain["sweep"], "resources", "retries"),
        )

    def values_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The run's values overridden by a trial's, unvalidated."""
        return lay_over(as_given(self.run), values)


def compose_sweep(arguments: Sequence[str]) -> SweepSettings:
    """The settings of a sweep.

    Args:
        arguments: presets of runs and of sweeps and YAML files, later ones over earlier ones (without any, the preset
            `quick`), then overrides `dotted.key=value`. Where none of them has a distribution, the preset
            `temperature-strength` comes first.

    Raises:
        UserError: as `compose`, and for a space that does not fit the run.
    """
    sources, overrides = split_arguments(arguments)
    sources = sources or [BUILT_IN]
    values = _lay(sources, overrides)
    if not _has_distribution(values[SWEEP_KEY].get(SPACE)):
        values = _lay([DEFAULT_SWEEP, *sources], overrides)
    sweep = values.pop(SWEEP_KEY)
    sweep[SPACE] = space_of(sweep.get(SPACE) or {})
    run = validated(values, _hint)
    if run.pretrain.processes > 1:
        raise UserError(
            f"pretrain.processes={run.pretrain.processes}: a trial of a sweep is trained by one process, and trials "
            "run side by side; leave it out, and see sweep.resources"
        )
    base = as_given(run)
    # Dumped, the address of the tracking store has no password.
    settings = validated_settings({"run": {**base, "tracking": run.tracking}, SWEEP_KEY: sweep})
    check_space(settings.sweep.space, base, validated)
    return settings


def validated_settings(values: Mapping[str, Any]) -> SweepSettings:
    """Settings from their values, such as a sweep's folder holds.

    Raises:
        UserError: an unknown key, a wrong type or a value out of range.
    """
    try:
        return SweepSettings.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, values, _hint)) from error


# The default alternatives, so that one of their settings can be given alone.
_ALTERNATIVES: dict[str, Any] = {
    name: SweepConfig.model_fields[name].default.model_dump(mode="json") for name in ("search", "scheduler")
}


def _without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _lay(sources: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Run and sweep, each layer overriding those before."""
    defaults = {SWEEP_KEY: _ALTERNATIVES}
    return merge_layers(sources, overrides, (PRESETS, SWEEP_PRESETS), _sections, defaults, _field)


def _field(parts: Sequence[str]) -> list[Any]:
    """The types that a key of a run or a sweep may have; below the space, lists of those of the swept key."""
    match list(parts):
        case [section, space, *swept] if (section, space) == (SWEEP_KEY, SPACE):
            swept = ".".join(swept).removesuffix(".values").split(".") if swept else []
            return [types.GenericAlias(tuple, (one, ...)) for one in run_field(swept)] if swept else []
        case [section, *below] if section == SWEEP_KEY and below:
            return list(field_types(SweepConfig, below))
    return run_field(parts)


def _sections(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer whose sweep is a mapping, and its space a tree, so that later layers can override a part of it."""
    if SWEEP_KEY not in layer:
        return layer
    sweep = _mapping(SWEEP_KEY, layer[SWEEP_KEY], "sweep.milestones=9")
    if sweep.get(SPACE) is not None:
        key = f"{SWEEP_KEY}.{SPACE}"
        sweep[SPACE] = nested(_mapping(key, sweep[SPACE], f"{key}.objective.temperature=[0.1, 0.2]"))
    return {**layer, SWEEP_KEY: sweep}


def _mapping(key: str, value: Any, example: str) -> dict[str, Any]:
    """A section's keys and values; of a heading with nothing below, none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{key}={value!r}: it holds keys and values, as {example}")
    return dict(value)


def _has_distribution(space: Any) -> bool:
    """Whether a space, or a part of one, has a whole distribution, and not only what changes another's."""
    match space:
        case list():
            return True
        case Mapping():
            return isinstance(space.get("name"), str) or any(
                _has_distribution(part) for part in space.values()
            )
    return False


def _hint(key: str) -> str:
    """What an unknown key of a sweep's file was probably meant to be."""
    if key in RENAMED:
        return f"; it is {RENAMED[key]} now"
    if key in ("ray.storage", "ray.node_folder"):
        return (
            "; clips are no longer copied to other nodes: work_folder has to be on storage that all nodes see"
        )
    parent, _, last = key.rpartition(".")
    models = list(_models(SWEEP_KEY, SweepConfig))
    if in_space := parent.startswith(f"{SWEEP_KEY}.{SPACE}."):
        models = [(parent, distribution) for distribution in get_args(get_args(Distribution)[0])]
    others = [model for below, model in models if below == parent and last in model.model_fields]
    if others:
        names = " or ".join(model.model_fields["name"].default for model in others)
        return f"; {parent}.name={names} has it"
    if in_space:
        return did_you_mean(last, {name for _, distribution in models for name in distribution.model_fields})
    known = {f"{below}.{name}" for below, model in models for name in model.model_fields}
    if key.partition(".")[0] == SWEEP_KEY:
        known |= {f"{SWEEP_KEY}.{SPACE}.{name}" for name in RunConfig.model_fields}
    else:
        known |= {SWEEP_KEY, *run_keys(key)}
    return nearest_key(key, known)


def _models(key: str, annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models of the keys below a key, one for each alternative, each with the key of its section."""
    for model in (annotation, *get_args(annotation)):
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield key, model
            for name, field in model.model_fields.items():
                yield from _models(f"{key}.{name}", field.annotation)
