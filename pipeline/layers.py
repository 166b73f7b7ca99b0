"""Layers of a config: presets, files and overrides as nested values, and how one overrides another."""

import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from echopair.audio_files import AUDIO_EXTENSIONS
from echopair.pipeline.config_text import INTERPOLATION, KeyTypes, is_verbatim, with_text
from echopair.pipeline.errors import UserError, did_you_mean

PRESETS = "echopair.pipeline.presets"
SWEEP_PRESETS = "echopair.tuning.presets"  # data of the package above, which is not imported
PRESET_KEY = "preset"
CONFIG_EXTENSIONS = (".yaml", ".yml")
TO_BE_SET = "???"  # as OmegaConf and Hydra write it


def merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Override one set of values by another.

    Mappings merge key by key; everything else is replaced. A layer that chooses another alternative by `name`
    replaces the whole mapping, and a layer that gives one budget takes the others away.
    """
    from echopair.pipeline.training.learner import PretrainConfig

    names = layer.get("name"), base.get("name")
    # In a sweep's space `name` may also be a part of a swept key, and its value a mapping.
    if all(isinstance(name, str) for name in names) and names[0] != names[1]:
        return dict(layer)
    merged = dict(base)
    if any(layer.get(budget) is not None for budget in PretrainConfig.BUDGETS):
        # Those that are there: other sections than `pretrain` have `epochs` too.
        merged.update((budget, None) for budget in PretrainConfig.BUDGETS if budget in merged)
    for key, value in layer.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def presets(*packages: str) -> dict[str, str]:
    """Names of the presets, and the line that each says of itself (the comment it begins with).

    Args:
        packages: where they lie; by default the presets of runs.
    """
    texts = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for package in packages or (PRESETS,)
        for entry in files(package).iterdir()
        if entry.name.endswith(".yaml")
    }
    return {name: text.splitlines()[0].lstrip("# ") for name, text in sorted(texts.items())}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; lists stay whole."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _no_types(parts: Sequence[str]) -> tuple[()]:
    """Of no key, which leaves all values as YAML means them."""
    del parts
    return ()


def load(
    source: str,
    packages: Sequence[str] = (PRESETS,),
    on_layer: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    field: KeyTypes = _no_types,
) -> dict[str, Any]:
    """The values of a preset or file over those of the preset that it starts from.

    Args:
        source: name of a preset, or path of a YAML file.
        packages: where presets are looked for.
        on_layer: what is done to the values of each of them before.
        field: gives the types of a key from its parts; text and paths are taken as they are written.

    Raises:
        UserError: there is no such preset or file, or it is not valid.
    """
    values: dict[str, Any] = {}
    for _, layer in _chain(source, packages, field):
        values = merge(values, on_layer(layer))
    return values


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The presets and files of a command, and the overrides `key=value`, which follow them."""
    sources = list(itertools.takewhile(lambda argument: "=" not in argument, arguments))
    return sources, list(arguments[len(sources) :])


def is_config(argument: str, packages: Sequence[str] = ()) -> bool:
    """Whether an argument names a preset or a YAML file.

    Args:
        argument: of a command.
        packages: where presets are looked for; by default those of runs.
    """
    return argument in presets(*packages) or argument.endswith(CONFIG_EXTENSIONS)


def origins(message: str, sources: Sequence[str], overrides: Sequence[str], packages: Sequence[str]) -> str:
    """Which presets and files give the keys that an error is about, as "corpora.esc10.where comes from preset 'esc10'".

    Args:
        message: of the error; a line begins with the key it is about.
        sources: presets and files of the command, later ones over earlier ones.
        overrides: of the command, `key=value`; who wrote one needs not be told where its key comes from.
        packages: where presets are looked for.
    """
    overridden = {override.partition("=")[0] for override in overrides}
    try:
        layers = [layer for source in sources for layer in _chain(source, packages)]
    except UserError:
        return ""
    given = {key: name for name, values in layers for key, value in flatten(values) if value != TO_BE_SET}
    notes = []
    for key in re.findall(r"^(?:unknown key ')?(\w+(?:\.[\w-]+)+)", message, re.MULTILINE):
        names = [
            name
            for one, name in given.items()
            if f"{one}.".startswith(f"{key}.") or key.startswith(f"{one}.")
        ]
        if names and not any(f"{one}.".startswith(f"{key}.") for one in overridden):
            notes.append(f"{key} comes from {names[-1]}")
    return "; ".join(dict.fromkeys(notes))


def _chain(
    source: str, packages: Sequence[str], field: KeyTypes = _no_types, above: Sequence[str] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """A preset or file and those that it starts from, lowest first, each with what messages call it."""

    known = presets(*packages)
    path = Path(source).expanduser()
    if source in above:
        loop = " starts from ".join([*above[above.index(source) :], source])
        raise UserError(f"{loop}: they name each other; take the key {PRESET_KEY!r} out of one of them")
    if source in known:
        name = f"preset {source!r}"
        text = next(
            file.read_text(encoding="utf-8")
            for package in packages
            if (file := files(package) / f"{source}.yaml").is_file()
        )
    elif path.is_dir() or path.suffix.lower() in AUDIO_EXTENSIONS:
        raise UserError(_recordings_are_no_preset(source, path))
    elif path.is_file():
        name = str(path)
        text = path.read_text(encoding="utf-8", errors="replace")
    elif path.suffix in (".yaml", ".yml"):
        raise UserError(f"{source}: there is no such file; `echopair presets` lists what can be started from")
    else:
        hint = did_you_mean(source, known) or f"; presets are {', '.join(known)}"
        raise UserError(f"there is no preset or file {source!r}{hint}")
    values = _read_yaml(text, source, field)
    below = values.pop(PRESET_KEY, None)
    return [*([] if below is None else _chain(str(below), packages, field, [*above, source])), (name, values)]


def _recordings_are_no_preset(source: str, path: Path) -> str:
    kind, folder = ("a folder", path) if path.is_dir() else ("a recording", path.parent)
    root = shlex.quote(f"corpora.recordings.root={folder}")
    return (
        f"{source} is {kind}, where a preset or YAML file belongs; give recordings by `echopair run folder {root}` if "
        f"each class has a folder, or by `echopair run folder-unlabelled {root}` if they have no labels"
    )


def _read_yaml(text: str, source: str, field: KeyTypes) -> dict[str, Any]:
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
        written = _scalars_as_text(text)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{source} must hold keys and values, as `seed: 1`")
    return dict(with_text(values, written or {}, field))


def _scalars_as_text(text: str) -> Any:
    """The values of a YAML text with every scalar as it is written."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows of all special scalars only <<, which merges a mapping."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:merge"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return yaml.load(text, Loader)


def parse_override(override: str, field: KeyTypes) -> dict[str, Any]:
    """The nested values of `dotted.key=value`: text as it is written, everything else as in YAML.

    Args:
        override: as on the command line.
        field: gives the types of a key from its parts, see `config_text.field_types`.

    Raises:
        UserError: it is not of this form, or its value is not valid YAML.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(
            f"{override!r} is not an override; write key=value, as objective.temperature=0.1, and presets and "
            "files before the first of those"
        )
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parts = key.split(".")
    types = field(parts)
    if is_verbatim(value, types):
        return _nested(parts, value)
    try:
        values = OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=True)
        assert isinstance(values, dict)
        if types and INTERPOLATION not in value:
            read = values
            for part in parts:
                read = read[part]
            return _nested(
                parts, with_text(read, _scalars_as_text(value), lambda below: field([*parts, *below]))
            )
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{override!r} is not valid YAML: {' '.join(str(error).split())}") from error
    return {str(name): value for name, value in values.items()}


def _nested(parts: Sequence[str], value: Any) -> dict[str, Any]:
    for part in reversed(parts):
        value = {part: value}
    return dict(value)
