"""Writes the page: views of a few crops by the policy, and by each augmentation alone."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from echopair.augment.policy import AugmentConfig, augmentations_of
from echopair.augment.waveform.augmentation import WaveformConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page.cells import Cell, Cells
from echopair.pipeline.augmentation_page.figures import SpectrumChart, colour_strip, frequency_ticks
from echopair.pipeline.augmentation_page.policy_words import (
    configured_ranges,
    other_augmentations,
    policy_in_words,
    reason_of,
    share_in_words,
)
from echopair.pipeline.augmentation_page.views import (
    Augmentation,
    PreviewClip,
    View,
    lone_views,
    policy_views,
)
from echopair.pipeline.augmentation_page.wording import purpose, quantity, spoken
from echopair.pipeline.pages import printable, render_page
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import write_atomically

POLICY_STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
LONE_STRENGTHS = (0.5, 1.0, 2.0)
VIEWS = 2
# The page works without its script. The script makes links work in the sandboxed frame in which MLflow shows the
# page, and stops one player when another starts.
SCRIPT = """
document.addEventListener("click", event => {
  const link = event.target.closest('a[href^="#"]');
  const place = link && document.getElementById(link.getAttribute("href").slice(1));
  if (place) { event.preventDefault(); place.scrollIntoView(); }
});
document.addEventListener("play", event => {
  for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
}, true);
"""


@dataclass(frozen=True)
class _Lone:
    """Views by one augmentation alone, at each of `LONE_STRENGTHS`; a single view if all are equal."""

    augmentation: Augmentation
    views: list[View]
    in_policy: bool


@dataclass(frozen=True)
class _Row:
    """A row of the page: one augmentation alone."""

    anchor: str
    title: str
    name: str
    purpose: str
    ranges: str
    shares: str
    cells: list[Cell]
    spectra: list[str]


def write_augmentation_page(
    clips: Sequence[PreviewClip],
    config: AugmentConfig,
    log_mel: LogMelConfig,
    seed: int,
    path: Path,
    run_name: str,
) -> None:
    """Write images, sounds and numbers of views by a policy and by each augmentation alone to one HTML file.

    The same arguments give the same bytes. The file loads no other file; sounds are shortened if it would be
    larger than about 10 MB.

    Args:
        clips: a few crops of one length at `log_mel.sample_rate_hz`, of different recordings.
        config: policy and strength of the run.
        log_mel: front end of the run.
        seed: determines all draws.
        path: file to write.
        run_name: of the run, for the title.

    Raises:
        ValueError: no clips, clips of different lengths, or a policy that this machine cannot build.
    """
    _check(clips)
    front_end = LogMel(log_mel)
    shown = _clearest(clips, front_end)
    # Each once, however often the policy lists it.
    listed: list[Augmentation] = list(dict.fromkeys(augmentations_of(config)))
    others, missing = other_augmentations(listed, log_mel.sample_rate_hz)
    strengths = sorted({*POLICY_STRENGTHS, config.strength})
    by_strength: list[list[list[View]]] = []  # strengths, views, clips
    lone: list[_Lone] = []
    with progress_bar("augmentation page", len(strengths) + len(listed) + len(others), "parts") as advance:
        for strength in strengths:
            scaled = config.model_copy(update={"strength": strength})
            by_strength.append([policy_views(clips, scaled, front_end, seed, view) for view in range(VIEWS)])
            advance()
        for augmentation in (*listed, *others):
            in_policy = augmentation in listed
            try:
                views = lone_views(clips, shown, augmentation, LONE_STRENGTHS, front_end, seed)
                alike = all(view.looks_and_sounds_as(views[0]) for view in views)
                lone.append(_Lone(augmentation, views[:1] if alike else views, in_policy))
            except (ValueError, ImportError, OSError, RuntimeError) as error:
                if in_policy:
                    raise
                missing.append((augmentation.name, reason_of(error)))
            advance()
    everything = [view for views in by_strength for of_clips in views for view in of_clips]
    everything += [view for one in lone for view in one.views]
    originals = len(clips) + sum(isinstance(one.augmentation, WaveformConfig) for one in lone)
    players = originals + sum(view.waveform is not None for view in everything)
    cells = Cells(clips, front_end, players)
    chart = SpectrumChart(clips[shown].waveform, log_mel.sample_rate_hz)
    page = render_page(
        Path(__file__).parent / "page.html.jinja",
        script=SCRIPT,
        run_name=printable(run_name),
        strength=quantity(config.strength),
        policy_name=config.policy.name,
        policy_purpose=purpose(inspect.getdoc(type(config.policy)) or ""),
        policy_parts=policy_in_words(config, front_end),
        columns=[(quantity(strength), strength == config.strength) for strength in strengths],
        clips=[
            (
                cells.original(clip),
                [[cells.cell(views[view][clip], clip) for views in by_strength] for view in range(VIEWS)],
            )
            for clip in range(len(clips))
        ],
        example=cells.original(shown),
        lone_columns=[quantity(strength) for strength in LONE_STRENGTHS],
        sections=_sections(lone, cells, shown, chart, front_end),
        missing=[(spoken(name), name, printable(reason)) for name, reason in missing],
        chart=chart,
        frequency_ticks=frequency_ticks(front_end),
        min_hz=quantity(front_end.config.min_hz),
        max_hz=quantity(front_end.config.max_hz),
        colours=", ".join(colour_strip()),
        sample_rate=f"{log_mel.sample_rate_hz:,}",
        crop_seconds=quantity(len(clips[0].waveform) / log_mel.sample_rate_hz),
        played_seconds=quantity(cells.samples_played / log_mel.sample_rate_hz),
    )
    write_atomically(path, page)


def _check(clips: Sequence[PreviewClip]) -> None:
    if not clips:
        raise ValueError("clips is empty: the augmentation page shows views of at least one clip")
    for clip in clips:
        if clip.waveform.ndim != 1 or clip.waveform.dtype != np.float32:
            raise ValueError(
                f"clip {clip.name!r} is {clip.waveform.dtype} of shape {clip.waveform.shape}; "
                "give a float32 waveform of shape (samples,)"
            )
        if len(clip.waveform) != len(clips[0].waveform):
            raise ValueError(
                f"clip {clip.name!r} has {len(clip.waveform)} samples, clip {clips[0].name!r} "
                f"{len(clips[0].waveform)}; cut crops of one length"
            )


def _clearest(clips: Sequence[PreviewClip], log_mel: LogMel) -> int:
    """The clip with the largest variation in level, on which changes are most visible."""
    log_mels = log_mel(torch.from_numpy(np.stack([clip.waveform for clip in clips])))  # (N, F, T)
    return int(log_mels.std(dim=(1, 2)).argmax())


def _sections(
    lone: Sequence[_Lone], cells: Cells, shown: int, chart: SpectrumChart, log_mel: LogMel
) -> list[tuple[str, bool, list[tuple[str, bool, list[_Row]]]]]:
    """Rows by section and family: headings, whether in the policy, whether audible."""
    rows = [_row(number, one, cells, shown, chart, log_mel) for number, one in enumerate(lone)]
    sections = []
    for heading, in_policy in (("Each augmentation alone", True), ("Not in this policy", False)):
        families = []
        for family, heard in (("On the waveform", True), ("On the log-mel", False)):
            chosen = [
                row
                for row, one in zip(rows, lone, strict=True)
                if one.in_policy == in_policy and isinstance(one.augmentation, WaveformConfig) == heard
            ]
            if chosen:
                families.append((family, heard, chosen))
        if families:
            sections.append((heading, in_policy, families))
    return sections


def _row(number: int, lone: _Lone, cells: Cells, shown: int, chart: SpectrumChart, log_mel: LogMel) -> _Row:
    augmentation = lone.augmentation
    shares = [share_in_words(augmentation.share_of_views(strength)) for strength in LONE_STRENGTHS]
    said = shares[0]
    if len(set(shares)) > 1:
        pairs = zip(shares, LONE_STRENGTHS, strict=True)
        said = ", ".join(f"{share or 'all'} at {quantity(strength)}" for share, strength in pairs)
    return _Row(
        anchor=f"alone-{number}",
        title=spoken(augmentation.name),
        name=augmentation.name,
        purpose=purpose(inspect.getdoc(type(augmentation)) or ""),
        ranges=configured_ranges(augmentation, log_mel) or "no range",
        shares=said,
        cells=[cells.cell(view, shown) for view in lone.views],
        spectra=[chart.points(view.waveform) for view in lone.views if view.waveform is not None],
    )
