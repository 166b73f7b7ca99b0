"""Config of a policy with learned probabilities and magnitudes, from a YAML file or keys."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from echopair.augment.choice import CHOICE, ORDER, AugmentationChoice
from echopair.augment.strength import MAX_STRENGTH


class LearnedOperation(BaseModel, frozen=True, extra="forbid"):
    """How often and how strongly a learned policy applies one augmentation."""

    probability: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the views to which it is applied; by default that of the augmentation",
    )
    magnitude: float = Field(
        1.0, ge=0, le=MAX_STRENGTH, description="multiplies the strength for this augmentation, up to 4"
    )
    ranges: dict[str, Any] = Field({}, description="keys of the augmentation that differ from its defaults")


def _as_mappings(operations: Any, where: str) -> dict[str, dict[str, Any]]:
    """Operations by name, each a mapping; in YAML the value of a default one may be empty."""
    if not isinstance(operations, dict):
        raise ValueError(f"{where}operations must have a line per augmentation, not {operations!r}")
    for name, operation in operations.items():
        if not isinstance(operation, dict | None | LearnedOperation):
            raise ValueError(
                f"{where}operations.{name}={operation!r}: write operations.{name}: {{magnitude: 1}}"
            )
    return {name: dict(operation or {}) for name, operation in operations.items()}


class LearnedConfig(BaseModel, frozen=True, extra="forbid"):
    """A probability and a magnitude per augmentation, from a YAML file or from keys that a sweep searches.

    AutoAugment (Cubuk et al. 2019) searches these two for each operation of a pair; here each augmentation is
    applied independently of the others.
    """

    name: Literal["learned"] = "learned"
    operations: dict[str, LearnedOperation] = Field(
        min_length=1,
        description=f"probability, magnitude and ranges by name of the augmentation, first to last; {ORDER}",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, values: Any) -> Any:
        """Replace the key `file` by the operations of that YAML file, so that the config no longer depends on it."""
        if not isinstance(values, dict) or "file" not in values:
            return values
        import yaml

        values = dict(values)
        file = Path(str(values.pop("file"))).expanduser()
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise ValueError(f"file={file} cannot be read as YAML: {reason}") from error
        if (
            not isinstance(content, dict)
            or set(content) != {"operations"}
            or not isinstance(content["operations"], dict)
        ):
            raise ValueError(
                f"file={file} must contain one key, `operations:`, with a line per augmentation, for example "
                "`tilt: {probability: 0.5, magnitude: 1.2}`"
            )
        operations = _as_mappings(content["operations"], f"file={file}: ")
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
                        f"operations.{name}.ranges.{key} is not a range: write operations.{name}.{key}"
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
