"""What the page asks for: places and colours of rows, their pictures and sounds, and which ones to label next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from echopair.lazy import np
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.log_mel import LogMel
from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.classifier import save_classifier
from echopair.pipeline.explore.colours import coloured_classes, map_colours
from echopair.pipeline.explore.labels import Labels
from echopair.pipeline.explore.page import explore_page
from echopair.pipeline.explore.suggestions import suggest
from echopair.pipeline.pages import printable
from echopair.pipeline.search.picture_and_sound import picture_and_sound

if TYPE_CHECKING:
    from echopair.pipeline.explore.layout import Layout
    from echopair.pipeline.explore.table import ExploredTable

SUGGESTIONS = 8
# A row of a table that was written by --whole may last for hours.
LONGEST_SHOWN_SECONDS = 60.0


class Explorer:
    """A table with its layout and its labels.

    Args:
        table: that is explored.
        layout: of its rows.
        labels: given so far.

    Raises:
        UserError: the table's metadata has no encoder's config.
    """

    def __init__(self, table: ExploredTable, layout: Layout, labels: Labels) -> None:
        self.table, self.labels = table, labels
        self._layout = layout
        try:
            self._log_mel = LogMel(AudioEncoderConfig.model_validate(table.info.encoder).log_mel)
        except ValidationError as error:
            raise UserError(
                f"{table.file}: the config of its encoder cannot be read; write the table anew by `echopair apply`"
            ) from error
        self._fitting = threading.Lock()

    def page(self) -> str:
        """The page as HTML."""
        table = self.table
        return explore_page(
            table.file, len(table), len(table.recordings), self.labels.file, self.labels.corpus()
        )

    def map(self) -> dict[str, Any]:
        """Columns of all rows, and the colours, as JSON can hold them."""
        recordings = {path: number for number, path in enumerate(self.table.recordings)}
        excerpts = self.table.excerpts
        hours = self.table.hours()
        own, given = [", ".join(one) for one in self.table.labels], self.labels.given()
        return {
            "x": np.round(self._layout.points[:, 0].astype(float), 4).tolist(),
            "y": np.round(self._layout.points[:, 1].astype(float), 4).tolist(),
            "cluster": self._layout.clusters.tolist(),
            "recording": [recordings[one.path] for one in excerpts],
            "start": [round(one.start_seconds, 3) for one in excerpts],
            "end": [round(one.end_seconds, 3) for one in excerpts],
            "hour": hours if any(hour is not None for hour in hours) else None,
            "own_labels": own,
            "given": given,
            "classes": coloured_classes(own, given.values()),
            "undoable": self.labels.undoable,
            "recordings": [printable(path) for path in recordings],
            "colours": map_colours(),
        }

    def shown(self, row: int) -> dict[str, Any]:
        """The picture and the sound of a row, or the reason why there are none."""
        excerpt = self.table.excerpts[row]
        end = min(excerpt.end_seconds, excerpt.start_seconds + LONGEST_SHOWN_SECONDS)
        try:
            made = picture_and_sound(excerpt._replace(end_seconds=end), self._log_mel, players=1)
        except UserError as error:
            return {"reason": str(error)}
        cut = f", first {end - excerpt.start_seconds:.0f} s" if end < excerpt.end_seconds else ""
        front_end = self._log_mel.config
        scale = f"{front_end.min_hz:,.0f} to {front_end.max_hz:,.0f} Hz, {made.range_db}{cut}"
        return {"picture": made.picture, "sound": made.sound, "scale": scale}

    def similarities(self, row: int) -> list[float]:
        """Cosine of each row's standardised embedding with that of a row, as `echopair search` computes it."""
        values = self.table.directions @ self.table.directions[row]
        return [round(value, 3) for value in values.tolist()]

    def suggestions(self) -> list[dict[str, Any]]:
        """The rows to label next, by the labels so far."""
        with self._fitting:  # fits that are asked for at once would only slow each other down
            found = suggest(self.table.directions, self.labels.all(), self.table.excerpts, SUGGESTIONS)
        return [one._asdict() for one in found]

    def save_classifier(self) -> dict[str, str]:
        """See `save_classifier`, of the labels so far."""
        with self._fitting:
            return save_classifier(self.table, self.labels.all())
