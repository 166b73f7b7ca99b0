"""Views of a few clips by the policy, and by each augmentation alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from echopair.augment.policy import AugmentConfig, build_policy
from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.waveform.augmentation import Waveform, WaveformConfig
from echopair.models.log_mel import LogMel
from echopair.pipeline.augmentation_page.wording import numbers_of_row
from echopair.pipeline.training.seeding import Stream, numpy_generator, torch_generator

# A single draw may change almost nothing: the page shows the median of this many.
DRAWS_COMPARED = 5
CPU = torch.device("cpu")

LogMelArray = NDArray[np.float32]
Augmentation = WaveformConfig | SpectrogramConfig


@dataclass(frozen=True)
class PreviewClip:
    """A crop to show views of.

    Args:
        name: of its recording.
        waveform: (L,) float32, at the sample rate of the log-mel.
    """

    name: str
    waveform: Waveform


@dataclass(frozen=True)
class View:
    """A crop after augmentation.

    Args:
        log_mel: (F, T) float32.
        waveform: (L,) float32, or None where no augmentation changed it.
        applied: names of augmentations and the numbers they drew, first to last.
    """

    log_mel: LogMelArray
    waveform: Waveform | None = None
    applied: tuple[tuple[str, dict[str, Any]], ...] = ()

    def looks_and_sounds_as(self, other: View) -> bool:
        """Whether two views are equal, bit for bit."""
        if (self.waveform is None) != (other.waveform is None):
            return False
        heard = self.waveform is None or np.array_equal(self.waveform, other.waveform)  # type: ignore[arg-type]
        return heard and np.array_equal(self.log_mel, other.log_mel)


def policy_views(
    clips: Sequence[PreviewClip], config: AugmentConfig, log_mel: LogMel, seed: int, view: int
) -> list[View]:
    """One view of each clip.

    Args:
        clips: a batch: mixing augmentations mix one into another.
        config: policy and strength; the draws are the same at every strength, only their size differs.
        log_mel: front end, on the CPU.
        seed: with `view` it determines all draws.
        view: number of the view.
    """
    policy = build_policy(config, log_mel.config.sample_rate_hz)
    generator = numpy_generator(seed, view, Stream.AUGMENTATION)
    chosen = policy.choose(generator, (len(clips),))  # (N, K)
    seeds = generator.integers(2**32, size=chosen.shape, dtype=np.uint32)
    heard = [
        policy.augment_waveform(clip.waveform, of_clip, clip_seeds)
        for clip, of_clip, clip_seeds in zip(clips, chosen, seeds, strict=True)
    ]
    log_mels = log_mel(torch.from_numpy(np.stack([waveform for waveform, _ in heard])))  # (N, F, T)
    changed, applied = policy.augment_log_mels(
        log_mels, chosen, torch_generator(seed, view, Stream.AUGMENTATION, CPU)
    )
    return [
        View(
            changed[row].numpy(),
            waveform if on_waveform else None,
            (
                *on_waveform,
                *(
                    (name, numbers_of_row(parameters, row))
                    for name, examples, parameters in applied
                    if examples[row]
                ),
            ),
        )
        for row, (waveform, on_waveform) in enumerate(heard)
    ]


def lone_view(
    clips: Sequence[PreviewClip],
    shown: int,
    augmentation: Augmentation,
    strength: float,
    log_mel: LogMel,
    seed: int,
    draw: int,
) -> View:
    """The view of one clip by one augmentation.

    Args:
        clips: the batch.
        shown: number of the clip whose view it is.
        augmentation: applied whatever its probability.
        strength: of the augmentation, above 0.
        log_mel: front end, on the CPU.
        seed: with `draw` it determines the draw.
        draw: number of the draw.
    """
    match augmentation:
        case WaveformConfig():
            draw_seed = int(numpy_generator(seed, draw, Stream.AUGMENTATION).integers(2**32))
            build = augmentation.build(strength, log_mel.config.sample_rate_hz)
            waveform, numbers = build(clips[shown].waveform, draw_seed)
            picture = log_mel(torch.from_numpy(waveform)[None])[0].numpy()
            return View(picture, waveform, ((augmentation.name, numbers),))
        case SpectrogramConfig():
            log_mels = log_mel(torch.from_numpy(np.stack([clip.waveform for clip in clips])))
            generator = torch_generator(seed, draw, Stream.AUGMENTATION, CPU)
            changed, parameters = augmentation.build(strength)(log_mels, generator)
            numbers = numbers_of_row(parameters, shown)
            return View(changed[shown].numpy(), None, ((augmentation.name, numbers),))


def lone_views(
    clips: Sequence[PreviewClip],
    shown: int,
    augmentation: Augmentation,
    strengths: Sequence[float],
    log_mel: LogMel,
    seed: int,
) -> list[View]:
    """Views by one augmentation at several strengths, from the same draw: of five, the one whose change of the
    log-mel at strength 1 is the median. Args as in `lone_view`."""
    original = log_mel(torch.from_numpy(clips[shown].waveform)[None])[0].numpy()
    changes = [
        float(
            np.abs(lone_view(clips, shown, augmentation, 1.0, log_mel, seed, draw).log_mel - original).mean()
        )
        for draw in range(DRAWS_COMPARED)
    ]
    draw = int(np.argsort(changes, kind="stable")[DRAWS_COMPARED // 2])
    return [lone_view(clips, shown, augmentation, strength, log_mel, seed, draw) for strength in strengths]
