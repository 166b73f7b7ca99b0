"""The policy whose probabilities and magnitudes were learned: its config, from a file or keys."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from echopair.augment.choice import CHOICE, ORDER, AugmentationChoice
from echopair.augment.strength import MAX_STRENGTH


class LearnedOperation(BaseModel, frozen=True, extra="forbid"):
    """How often and how strongly a learned policy applies one augmentation."""

    probability: float | None = Field(
        None, ge=0, le=1, description="the augmentation's own probability; without it, its default"
    )
    magnitude: float = Field(
        1.0, ge=0, le=MAX_STRENGTH, description="multiplies the strength for this augmentation, up to 4"
    )
    ranges: dict[str, Any] = Field({}, description="keys of the augmentation that differ from its defaults")


def _as_mappings(operations: Any, where: str) -> dict[str, dict[str, Any]]:
    """Operations by name, each a mapping; an empty one may be left out in YAML."""
    if not isinstance(operations, dict):
        raise ValueError(f"{where}operations must be a line for each augmentation, not {operations!r}")
    for name, operation in operations.items():
        if not isinstance(operation, dict | None | LearnedOperation):
            raise ValueError(
                f"{where}operations.{name}={operation!r}: write operations.{name}: {{magnitude: 1}}"
            )
    return {name: dict(operation or {}) for name, operation in operations.items()}


class LearnedConfig(BaseModel, frozen=True, extra="forbid"):
    """A probability and a magnitude for each augmentation, from a YAML file or keys that a sweep searches.

    AutoAugment (Cubuk et al. 2019) searches these two for each operation; here each is decided by itself and
    not in pairs.
    """

    name: Literal["learned"] = "learned"
    operations: dict[str, LearnedOperation] = Field(
        min_length=1,
        description=f"probability, magnitude and ranges by name of the augmentation, first to last; {ORDER}",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, values: Any) -> Any:
        """`file`: a YAML file with `operations`. Its content becomes the config's, which then stands alone."""
        if not isinstance(values, dict) or "file" not in values:
            return values
        import yaml

        values = dict(values)
        file = Path(str(values.pop("file"))).expanduser()
        try:
            read = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise ValueError(f"file={file} cannot be read as YAML: {reason}") from error
        if (
            not isinstance(read, dict)
            or set(read) != {"operations"}
            or not isinstance(read["operations"], dict)
        ):
            raise ValueError(
                f"file={file} must hold one key, `operations:`, and below it a line for each augmentation, as "
                "`tilt: {probability: 0.5, magnitude: 1.2}`"
            )
        operations = _as_mappings(read["operations"], f"file={file}: ")
        for name, operation in _as_mappings(values.get("operations") or {}, "").items():
            operations[name] = {**operations.get(name, {}), **operation}
        return values | {"operations": operations}

    @model_validator(mode="after")
    def _ranges_are_valid(self) -> Self:
        _ = self.augmentations
        return self

    @property
    def augmentations(self) -> tuple[AugmentationChoice, ...]:
        """The augmentations with their ranges, in order.

        Raises:
            ValueError: an unknown name or an invalid range.
        """
        found = []
        for name, operation in self.operations.items():
            for key in ("name", "probability"):
                if key in operation.ranges:
                    raise ValueError(
                        f"operations.{name}.ranges.{key} is no range: write operations.{name}.{key}"
                    )
            values = {**operation.ranges, "name": name}
            if operation.probability is not None:
                values["probability"] = operation.probability
            try:
                found.append(CHOICE.validate_python(values))
            except ValidationError as error:
                problem = error.errors()[0]
                key = ".".join(
                    [
                        "operations",
                        name,
                        *(["ranges", *map(str, problem["loc"][1:])] if problem["loc"] else []),
                    ]
                )
                raise ValueError(f"{key}: {problem['msg'].removeprefix('Value error, ')}") from error
        return tuple(found)
