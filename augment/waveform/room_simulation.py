"""Room simulation: early reflections of a simulated room."""

from __future__ import annotations

import math
import random
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.packages import check_package
from echopair.augment.waveform.reverberation import ReverberationConfig, mix_reverberation
from echopair.lazy import np

MIN_HEIGHT_METRES, MAX_HEIGHT_METRES = 2.4, 4.0
# Smallest distance of source and microphone from walls, floor and ceiling.
MARGIN_METRES = 0.3
REFLECTIONS = 3


class RoomSimulationConfig(ReverberationConfig, frozen=True, extra="forbid"):
    """A share of 0.1 to 0.5 of the crop as heard 0.5 to 2 m away in an office (absorption 0.15) or a studio (0.4).

    Box-shaped rooms, three reflections deep, by the image source method: 10 ms per crop, the slowest augmentation.
    Needs pyroomacoustics. The strength scales the wet share only.
    """

    name: Literal["room_simulation"] = "room_simulation"
    min_size_metres: float = Field(3.0, ge=1, le=100, description="shortest side of the floor")
    max_size_metres: float = Field(8.0, ge=1, le=100, description="longest side of the floor")
    min_absorption: float = Field(
        0.15, ge=0.01, le=1, description="smallest share of energy that a wall absorbs: hard walls"
    )
    max_absorption: float = Field(
        0.4, ge=0.01, le=1, description="largest share of energy that a wall absorbs: soft walls"
    )
    min_distance_metres: float = Field(
        0.5,
        ge=0.05,
        le=100,
        description="smallest distance of the microphone; smaller where a wall is in the way",
    )
    max_distance_metres: float = Field(
        2.0, ge=0.05, le=100, description="largest distance of the microphone, which stays within the room"
    )

    @model_validator(mode="after")
    def _package_is_installed(self) -> Self:
        check_package(self.name, "pyroomacoustics", extra="room")
        return self

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' RoomSimulator, mixed with the dry crop."""
        from audiomentations import RoomSimulator

        simulator = RoomSimulator(
            min_size_x=self.min_size_metres,
            max_size_x=self.max_size_metres,
            min_size_y=self.min_size_metres,
            max_size_y=self.max_size_metres,
            min_size_z=MIN_HEIGHT_METRES,
            max_size_z=MAX_HEIGHT_METRES,
            min_absorption_value=self.min_absorption,
            max_absorption_value=self.max_absorption,
            # Anywhere in the room: audiomentations clips positions to the margin.
            min_source_x=0.0,
            max_source_x=self.max_size_metres,
            min_source_y=0.0,
            max_source_y=self.max_size_metres,
            min_source_z=0.0,
            max_source_z=MAX_HEIGHT_METRES,
            min_mic_distance=self.min_distance_metres,
            max_mic_distance=self.max_distance_metres,
            min_mic_elevation=-math.pi / 2,
            max_mic_elevation=math.pi / 2,
            # pyroomacoustics draws rays from a generator of its own, which cannot be seeded here.
            use_ray_tracing=False,
            max_order=REFLECTIONS,
            leave_length_unchanged=False,
            padding=MARGIN_METRES,
            p=1.0,
        )
        return SimulatedRoom(simulator, *self.wet_shares(strength))


class SimulatedRoom:
    """RoomSimulator mixed with the dry crop.

    Alone, the library delays a crop by the distance to the microphone and the length of its filters, and
    attenuates it by the distance.

    Args:
        simulator: RoomSimulator, which draws the room.
        min_wet_share: 0 to 1.
        max_wet_share: at least the smallest.
    """

    def __init__(self, simulator: Any, min_wet_share: float, max_wet_share: float) -> None:
        self._simulator, self._shares = simulator, (min_wet_share, max_wet_share)
        self._wet_share = min_wet_share

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) in a freshly drawn room."""
        self._simulator.randomize_parameters(samples, sample_rate)
        self._wet_share = random.uniform(*self._shares)
        response = np.asarray(self._simulator.room.rir[0][0])  # (M,)
        reverberated = self._simulator.apply(samples, sample_rate)  # (L + M - 1,)
        # pyroomacoustics' room cannot be pickled.
        self._simulator.room = None
        return mix_reverberation(samples, reverberated, response, self._wet_share)

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call, with the actual distance of the microphone, which walls may limit."""
        drawn = self._simulator.parameters
        source, microphone = ([drawn[f"{what}_{axis}"] for axis in "xyz"] for what in ("source", "mic"))
        return {
            "length_metres": drawn["size_x"],
            "width_metres": drawn["size_y"],
            "height_metres": drawn["size_z"],
            "absorption": drawn["absorption_coefficient"],
            "distance_metres": math.dist(source, microphone),
            "wet_share": self._wet_share,
        }
