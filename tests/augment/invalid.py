"""Checks that configs reject values."""

import pytest
from pydantic import BaseModel, ValidationError


def assert_invalid(config: type[BaseModel], *cases: tuple[str, object], **others: object) -> None:
    """Each key and value, beside the other values, is an error that names the key."""
    accepted = []
    for key, value in cases:
        try:
            config.model_validate({**others, key: value})
        except ValidationError as error:
            message = str(error)
        else:
            message = "no error"
        if key not in message:
            accepted.append(f"{key}={value}: {message}")
    if accepted:
        pytest.fail("\n".join(accepted))
