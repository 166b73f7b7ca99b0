"""What every augmentation's config has, whichever family it is of."""

from pydantic import BaseModel, Field


class AugmentationConfig(BaseModel, frozen=True, extra="forbid"):
    """Ranges of one augmentation at strength 1, and how often it is applied."""

    name: str
    probability: float = Field(1.0, ge=0, le=1, description="share of the views that it is applied to")

    def share_of_views(self, strength: float) -> float:
        """Share of the views that it is applied to at a strength, 0 to 1.

        The ranges carry the strength, so the share is as configured; an augmentation that can only be done or
        not (a reversal) scales its share instead: see `AllOrNothingConfig`.
        """
        return self.probability if strength > 0 else 0.0

    def contents(self) -> list[tuple[str, int, int]]:
        """Files that views are made with: name, bytes, time of the last change; they decide a result as ranges do.

        Raises:
            ValueError: they are not there.
        """
        return []

    def check(self, sample_rate_hz: int) -> None:
        """Refuse, before any long work, what cannot be done here: a folder that is not there, a rate.

        A package that is missing is refused when the config is made.

        Args:
            sample_rate_hz: of the crops.

        Raises:
            ValueError: names the key, its value and the remedy.
        """


class AllOrNothingConfig(AugmentationConfig, frozen=True, extra="forbid"):
    """An augmentation without a range: the strength scales how often it is done."""

    probability: float = Field(
        0.2, ge=0, le=1, description="share of the views at strength 1; proportional to the strength up to 1"
    )

    def share_of_views(self, strength: float) -> float:
        """Share of the views that it is applied to at a strength, 0 to 1."""
        return min(self.probability * strength, 1.0)
