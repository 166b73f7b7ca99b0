"""Keeps text as text: what a person gives to a text or path field of the config stays as it is written."""

import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

# Gives the types that a key may have, from its parts.
KeyTypes = Callable[[Sequence[str]], Sequence[Any]]

NULLS = ("", "null", "~")
INTERPOLATION = "${"


def field_types(annotation: Any, parts: Sequence[str] = ()) -> Iterator[Any]:
    """The types that a key may have, those of all alternatives of its section.

    Args:
        annotation: of the section, such as a pydantic model.
        parts: of the dotted key below the section.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from field_types(get_args(annotation)[0], parts)
    elif origin in (Union, types.UnionType):
        for alternative in get_args(annotation):
            yield from field_types(alternative, parts)
    elif not parts:
        yield annotation
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if parts[0] in annotation.model_fields:
            yield from field_types(annotation.model_fields[parts[0]].annotation, parts[1:])
    elif origin is dict:
        yield from field_types(get_args(annotation)[1], parts[1:])


def is_verbatim(value: str, field: Sequence[Any]) -> bool:
    """Whether a value on the command line is to be taken as it is written, not as YAML.

    Args:
        value: the text behind the equals sign.
        field: the types of its key.
    """
    if type(None) in field and value in NULLS:
        return False
    return _holds_text(field) and not (_elements(field) and value.startswith("["))


def with_text(value: Any, written: Any, field: KeyTypes) -> Any:
    """A value read from YAML in which text fields have the text as it is written: 2024, no and 1.10 stay so.

    Args:
        value: as YAML means it, with interpolations resolved.
        written: the same with every scalar as text.
        field: gives the types of the value's key, or from the parts of a key below it the types of that.
    """
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        return {
            key: with_text(value[old], text, functools.partial(_below, field, key))
            for old, (key, text) in zip(value, written.items(), strict=True)
        }
    types_ = field(())
    if isinstance(value, list) and isinstance(written, list):
        element = functools.partial(_of_alternatives, _elements(types_))
        return [with_text(one, text, element) for one, text in zip(value, written, strict=True)]
    if not isinstance(written, str) or INTERPOLATION in written or not _holds_text(types_):
        return value
    return value if value is None and (not written or type(None) in types_) else written


def _below(field: KeyTypes, key: str, parts: Sequence[str]) -> Sequence[Any]:
    return field((key, *parts))


def _of_alternatives(alternatives: Sequence[Any], parts: Sequence[str]) -> Sequence[Any]:
    return [one for alternative in alternatives for one in field_types(alternative, parts)]


def _holds_text(field: Sequence[Any]) -> bool:
    """Whether a key holds text in all alternatives, none or several of it at most."""
    others = [
        one for one in field if not _is_text(one) and one is not type(None) and get_origin(one) is not tuple
    ]
    return any(map(_is_text, field)) and not others


def _is_text(one: Any) -> bool:
    if get_origin(one) is Literal:
        return all(isinstance(value, str) for value in get_args(one))
    return isinstance(one, type) and issubclass(one, str | Path)


def _elements(field: Sequence[Any]) -> list[Any]:
    return [
        one
        for kind in field
        if get_origin(kind) in (tuple, list)
        for element in get_args(kind)
        if element is not Ellipsis
        for one in field_types(element)
    ]
