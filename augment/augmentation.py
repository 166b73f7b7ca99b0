"""Base classes of the augmentations' configs."""

from pydantic import BaseModel, Field


class AugmentationConfig(BaseModel, frozen=True, extra="forbid"):
    """Ranges of one augmentation at strength 1, and how often it is applied."""

    name: str
    probability: float = Field(1.0, ge=0, le=1, description="share of the views to which it is applied")

    def share_of_views(self, strength: float) -> float:
        """Share of the views to which it is applied at a strength, 0 to 1.

        The strength scales the ranges, so the share is the configured one. An augmentation without a range, as a
        reversal, scales its share instead: see `AllOrNothingConfig`.
        """
        return self.probability if strength > 0 else 0.0

    def contents(self) -> list[tuple[str, int, int]]:
        """The files that the views depend on: name, size in bytes, time of the last change in nanoseconds.

        Raises:
            ValueError: they do not exist.
        """
        return []

    def check(self, sample_rate_hz: int) -> None:
        """Raise, before any long work, for what this machine or sample rate does not allow, as a missing folder.

        A missing package is an error of the config's validation.

        Args:
            sample_rate_hz: of the crops.

        Raises:
            ValueError: names the key, its value and the remedy.
        """


class AllOrNothingConfig(AugmentationConfig, frozen=True, extra="forbid"):
    """An augmentation without a range: the strength scales how often it is applied."""

    probability: float = Field(
        0.2, ge=0, le=1, description="share of the views at strength 1; proportional to the strength up to 1"
    )

    def share_of_views(self, strength: float) -> float:
        """Share of the views to which it is applied at a strength, 0 to 1."""
        return min(self.probability * strength, 1.0)
