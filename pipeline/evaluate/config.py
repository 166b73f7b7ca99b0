"""What `echopair evaluate` is asked: encoders, corpora, suites and their settings, from its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError, create_model

from echopair.pipeline.config import (
    RunConfig,
    as_given,
    default_values,
    merge_layers,
    run_field,
    run_key_hint,
    validated,
)
from echopair.pipeline.config_errors import explain, nearest_key
from echopair.pipeline.config_text import field_types
from echopair.pipeline.errors import UserError, did_you_mean
from echopair.pipeline.evaluate.suites import SUITES
from echopair.pipeline.evaluate.suites.base import SuiteConfig
from echopair.pipeline.layers import is_config, presets

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoderConfig

SUITES_KEY = "suites"
TRAINING = ("crops", "augment", "projection", "objective", "pretrain")


class _Suites(BaseModel, frozen=True, extra="forbid"):
    suites: tuple[str, ...] = ()


# The settings of each suite lie below its name.
_settings: dict[str, Any] = {name: (one.config, one.config()) for name, one in SUITES.items()}
SuitesConfig = create_model("SuitesConfig", __base__=_Suites, **_settings)


class Arguments(NamedTuple):
    """The arguments of the command by what they are.

    Args:
        encoders: addresses, in their order.
        sources: presets and YAML files with the corpora.
        overrides: `dotted.key=value`.
    """

    encoders: list[str]
    sources: list[str]
    overrides: list[str]


def split_evaluate_arguments(arguments: Sequence[str]) -> Arguments:
    """Tell encoders, presets and YAML files, and overrides apart.

    Raises:
        UserError: no encoder is given, or an argument is none of these.
    """
    parts = Arguments([], [], [])
    for argument in arguments:
        if is_config(argument):
            parts.sources.append(argument)
        elif Path(argument).exists():
            parts.encoders.append(argument)
        elif "=" in argument.partition(":")[0]:  # behind a colon it is of an address
            parts.overrides.append(argument)
        elif ":" in argument:
            parts.encoders.append(argument)
        else:
            raise UserError(
                f"there is no folder of an encoder and no preset {argument!r}{did_you_mean(argument, presets())}"
            )
    if not parts.encoders:
        raise UserError(
            "name an encoder to evaluate: a folder, as `echopair run` prints it at its end, or an address as "
            "hf://OWNER/NAME or runs:/RUN_ID/encoder"
        )
    return parts


class EvaluateSettings(NamedTuple):
    """Of an evaluation.

    Args:
        run: corpora, folds and probe, work folder and tracking.
        suites: which to do, and the settings of each below its name.
        asked: whether the suites were named, so that one which cannot be done is an error.
    """

    run: RunConfig
    suites: Any
    asked: bool

    def of(self, suite: str) -> SuiteConfig:
        """The settings of a suite."""
        config: SuiteConfig = getattr(self.suites, suite)
        return config


def compose_evaluation(
    sources: Sequence[str], overrides: Sequence[str], encoder: AudioEncoderConfig | None
) -> EvaluateSettings:
    """The settings of an evaluation.

    Args:
        sources: presets and YAML files; without a corpus, the built-in one.
        overrides: `dotted.key=value` of a run or of a suite.
        encoder: the first encoder of echopair that is evaluated, whose log-mel and crops the baselines have.

    Raises:
        UserError: as `compose`, and an unknown suite.
    """
    defaults = SuitesConfig().model_dump(mode="json")
    values = merge_layers(sources, overrides, more_defaults=defaults, field=_field)
    suites = {name: values.pop(name) for name in SuitesConfig.model_fields}
    # How a run trained is of no matter here, and may not fit the corpora that are evaluated on.
    values |= {name: default_values()[name] for name in TRAINING}
    if encoder is not None:
        values["log_mel"], values["encoder"] = as_given(encoder.log_mel), as_given(encoder.encoder)
        values["crops"] = {**values["crops"], "crop_seconds": encoder.crop_seconds}
    names = suites[SUITES_KEY]
    for name in names if isinstance(names, list) else [names]:
        if name not in SUITES:
            raise UserError(
                f"suites: there is no suite {name!r}{did_you_mean(str(name), SUITES)}; they are {', '.join(SUITES)}"
            )
    try:
        settings = SuitesConfig.model_validate(
            {**suites, SUITES_KEY: names if isinstance(names, list) else [names]}
        )
    except ValidationError as error:
        raise UserError(explain(error, suites, _hint)) from error
    asked = bool(settings.suites)
    if not asked:
        settings = settings.model_copy(update={SUITES_KEY: tuple(SUITES)})
    run = validated(values, _hint)
    learning = run.pretrain.model_copy(update={"corpora": run.probe_corpora})  # the only ones that are read
    return EvaluateSettings(run.model_copy(update={"pretrain": learning}), settings, asked)


def _field(parts: Sequence[str]) -> list[Any]:
    if parts and parts[0] in SuitesConfig.model_fields:
        return list(field_types(SuitesConfig, parts))
    return run_field(parts)


def _hint(key: str) -> str:
    """What an unknown key was probably meant to be."""
    section = key.partition(".")[0]
    if section in SUITES:
        return nearest_key(key, {f"{section}.{name}" for name in SUITES[section].config.model_fields})
    near = did_you_mean(key, SuitesConfig.model_fields)
    return near or run_key_hint(key)


def chosen_suites(settings: EvaluateSettings) -> Mapping[str, Any]:
    """The suites that are asked for, in the order of the page, with their settings."""
    return {name: settings.of(name) for name in SUITES if name in settings.suites.suites}
