"""Markdown of every key of a config, with type, range and default, from the JSON schemas of the pydantic models."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice
from echopair.pipeline.config import RunConfig
from echopair.tuning.config import SweepSettings

Schema = Mapping[str, Any]

RUN_INTRO = """
A YAML file or a `key=value` on the command line states only what differs from the defaults below. `echopair config`
prints the whole config of a run and trains nothing. Unknown keys and values out of range are errors.
"""
AUGMENTATIONS_INTRO = """
These are the entries of `augment.policy.augmentations` and `augment.policy.pool`. An entry is a name, or a name with
ranges: `[pitch_shift, {name: gain, max_gain_db: 3}]`. The ranges hold at `augment.strength: 1`; see the
[guide](../guide/augmentation.md).
"""
SWEEP_INTRO = """
A sweep's file has the keys of a [run](config.md) and the section below; see the [guide](../guide/sweeps.md).
"""


def run_page() -> str:
    """The keys of a run; a heading for each section and for each alternative that a `name` chooses."""
    return "\n".join(["# Run configuration", RUN_INTRO, *_model(RunConfig.model_json_schema(), "", 2)])


def augmentations_page() -> str:
    """The augmentations of both families, each with its ranges."""
    lines = ["# Augmentations", AUGMENTATIONS_INTRO]
    for title, family in (("Log-mels", SpectrogramChoice), ("Waveforms", WaveformChoice)):
        lines += [f"## {title}", ""]
        schema = TypeAdapter(family).json_schema()
        for option in schema["anyOf"]:
            lines += _alternative(_resolved(option, schema), schema, "", 3)
    return "\n".join(lines)


def sweep_page() -> str:
    """The section `sweep`."""
    schema = SweepSettings.model_json_schema()
    sections = {key: value for key, value in schema["properties"].items() if key != "run"}
    return "\n".join(
        ["# Sweep configuration", SWEEP_INTRO, *_model({**schema, "properties": sections}, "", 2)]
    )


def _model(schema: Schema, prefix: str, level: int, root: Schema | None = None) -> Iterator[str]:
    """A table of the plain keys of a model, then a section for each key that holds keys itself."""
    root = root or schema
    properties = {key: value for key, value in schema.get("properties", {}).items() if key != "name"}
    plain = {key: value for key, value in properties.items() if not _holds_keys(value, root)}
    if plain:
        yield from ("| key | type | default | description |", "|---|---|---|---|")
        for key, value in plain.items():
            required = key in schema.get("required", ())
            default = "**required**" if required else _default(value)
            cells = (f"`{prefix}{key}`", _type(value, root), default, value.get("description", ""))
            yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        yield ""
    for key, value in properties.items():
        if key not in plain:
            yield from _section(key, value, prefix, level, root)


def _section(key: str, schema: Schema, prefix: str, level: int, root: Schema) -> Iterator[str]:
    inner = _resolved(schema, root)
    if "additionalProperties" in inner and isinstance(inner["additionalProperties"], dict):
        key, described, inner = f"{key}.NAME", schema, _resolved(inner["additionalProperties"], root)
    else:
        described = inner
    yield from (f"{'#' * level} `{prefix}{key}`", "")
    description = described.get("description", "")
    yield from (description[:1].upper() + description[1:], "")
    alternatives = _alternatives(inner, root)
    if not alternatives:
        yield from _model(inner, f"{prefix}{key}.", level + 1, root)
        return
    chosen = (schema.get("default") or {}).get("name")
    names = ", ".join(f"`{_name(one)}`" for one in alternatives)
    yield from (
        f"`{prefix}{key}.name` is one of {names}" + (f"; the default is `{chosen}`." if chosen else "."),
        "",
    )
    for alternative in alternatives:
        yield from _alternative(alternative, root, f"{prefix}{key}.", level + 1)


def _alternative(schema: Schema, root: Schema, prefix: str, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {_name(schema)}", "", schema.get("description", ""), "")
    yield from _model(schema, prefix, level + 1, root)


def _name(schema: Schema) -> str:
    return str(schema["properties"]["name"]["const"])


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The definition that a schema refers to, or the schema itself."""
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    options = [_resolved(option, root) for option in schema.get("oneOf", schema.get("anyOf", ()))]
    return [option for option in options if "const" in option.get("properties", {}).get("name", {})]


def _holds_keys(schema: Schema, root: Schema) -> bool:
    inner = _resolved(schema, root)
    values = inner.get("additionalProperties")
    if isinstance(values, dict) and (_holds_keys(values, root)):
        return True
    return "properties" in inner or bool(_alternatives(inner, root))


def _default(schema: Schema) -> str:
    match schema.get("default"):
        case None:
            return "not set"
        case [{"name": _}, *_] as entries:
            return f"`[{', '.join(entry['name'] for entry in entries)}]`"
        case str() as value if value:
            return f"`{value}`"
        case value:
            return f"`{json.dumps(value)}`"


def _type(schema: Schema, root: Schema) -> str:
    """What values a key takes, in words."""
    inner = _resolved(schema, root)
    if "anyOf" in inner:
        options = [_type(option, root) for option in inner["anyOf"] if option.get("type") != "null"]
    else:
        options = [f"`{value}`" for value in inner.get("enum", [inner["const"]] if "const" in inner else [])]
    if options:
        return " or ".join(options)
    match inner.get("type", "any"):
        case "array":
            items = inner.get("items", {})
            kind = f"list of {'entries' if _holds_keys(items, root) else _type(items, root)}"
        case "object":
            kind = "keys and values"
        case "boolean":
            kind = "`true` or `false`"
        case "string":
            kind = "path" if inner.get("format") == "path" else "string"
        case other:
            kind = f"{other}{_range(inner)}"
    return kind


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    bounds = [
        f"{sign} {value:g}" if abs(value) < 1e6 else f"{sign} {value}"
        for sign, value in (("≥", low), (">", above), ("≤", high), ("<", below))
        if value is not None
    ]
    if "multipleOf" in schema:
        bounds.append(f"a multiple of {schema['multipleOf']}")
    return ", " + ", ".join(bounds) if bounds else ""


PAGES = {
    "reference/config.md": run_page,
    "reference/augmentations.md": augmentations_page,
    "reference/sweep-config.md": sweep_page,
}
"""What writes each page that is generated when the site is built, by the page's path below docs/."""
