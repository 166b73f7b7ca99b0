"""Parameters of the log-mel, apart from its computation: importing them does not import torch."""

import math
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    FieldSerializationInfo,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

# Not in the keys of stages that were made before these were there, if they have their defaults.
LATER_KEYS = ("fft_samples", "mel_scale", "window")
AS_GIVEN = {"as_given": True}  # context of a dump in which a value that follows another is None


class LogMelConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Parameters of the log-mel; the defaults are those of BYOL-A (Niizumi et al. 2021, section III-A)."""

    sample_rate_hz: int = Field(16000, ge=1000, le=500000, description="rate of the clips and of the encoder")
    mel_bands: int = Field(64, ge=8, le=256, description="mel bands, F")
    window_seconds: float = Field(0.064, gt=0, le=0.5, description="length of the Hann window")
    hop_seconds: float = Field(0.010, gt=0, le=0.1, description="time between two frames")
    min_hz: float = Field(60.0, ge=0, description="lower edge of the lowest mel band")
    max_hz: float = Field(
        None,
        validate_default=True,
        gt=0,
        description="upper edge of the highest mel band; by default 0.4875 of the sample rate (7800 at 16000)",
    )
    fft_samples: int | None = Field(
        None,
        ge=2,
        le=2**16,
        description="length of the Fourier transform, a power of 2; by default the next one from the window on",
    )
    mel_scale: Literal["htk", "slaney"] = Field(
        "htk", description="htk: logarithmic throughout; slaney: linear below 1 kHz, as librosa's default"
    )
    window: Literal["hann", "hamming"] = Field("hann", description="window of each frame, periodic")
    floor_db: float = Field(-90.0, ge=-200, le=-20, description="added power, dB below a full-scale sine")

    @field_validator("max_hz", mode="before")
    @classmethod
    def _follow_the_sample_rate(cls, value: Any, info: ValidationInfo) -> Any:
        # 39 / 80 is 0.4875, exactly. The rate is missing if it was itself refused.
        return info.data.get("sample_rate_hz", 16000) * 39 / 80 if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _none_is_not_given(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("max_hz", 0) is None:
            return {key: value for key, value in values.items() if key != "max_hz"}
        return values

    @field_serializer("max_hz")
    def _none_if_it_follows(self, value: float, info: FieldSerializationInfo) -> float | None:
        return None if info.context == AS_GIVEN and "max_hz" not in self.model_fields_set else value

    @model_validator(mode="after")
    def _ranges_fit(self) -> Self:
        if self.max_hz > self.sample_rate_hz / 2:
            raise ValueError(
                f"max_hz={self.max_hz:g} is above half of sample_rate_hz={self.sample_rate_hz}; "
                f"set max_hz to at most {self.sample_rate_hz / 2:g}"
            )
        if self.min_hz >= self.max_hz:
            raise ValueError(f"min_hz={self.min_hz:g} must be below max_hz={self.max_hz:g}")
        if self.fft_samples is not None and (
            self.fft_samples < self.window_samples or self.fft_samples & (self.fft_samples - 1)
        ):
            raise ValueError(
                f"fft_samples={self.fft_samples} must be a power of 2 that holds the window of "
                f"{self.window_samples} samples"
            )
        if self.hop_samples > self.window_samples:
            raise ValueError(
                f"hop_seconds={self.hop_seconds:g} must not exceed window_seconds={self.window_seconds:g}"
            )
        return self

    @property
    def window_samples(self) -> int:
        """Length of the window, at least 2 samples."""
        return max(2, round(self.window_seconds * self.sample_rate_hz))

    @property
    def transform_samples(self) -> int:
        """Length of the Fourier transform, a power of 2."""
        return self.fft_samples or 2 ** math.ceil(math.log2(self.window_samples))

    @property
    def hop_samples(self) -> int:
        """Samples between two frames, at least 1."""
        return max(1, round(self.hop_seconds * self.sample_rate_hz))

    def key_inputs(self) -> dict[str, Any]:
        """What the keys of stages are made of."""
        fields = type(self).model_fields
        defaults = {name for name in LATER_KEYS if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude=defaults)

    def frames(self, samples: int) -> int:
        """How many frames T a waveform of `samples` samples gives: one for each whole hop, at least one."""
        return max(1, samples // self.hop_samples)
