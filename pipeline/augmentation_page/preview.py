"""`echopair preview`: the page for a run's config, of the user's own recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echopair.pipeline.augmentation_page.views import PreviewClip
from echopair.pipeline.augmentation_page.write import write_augmentation_page
from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import RunConfig
from echopair.pipeline.layers import flatten
from echopair.pipeline.run import RunResult, prepare_corpora
from echopair.pipeline.run_record import named_folder
from echopair.pipeline.stages import digest_values
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import KIND_TAG, PREVIEW_KIND, TrackedRun
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.encoder_output import sounds
from echopair.pipeline.training.seeding import Stream, numpy_generator

CLIPS_SHOWN = 4


def preview(config: RunConfig) -> Path:
    """Write the page by which a person judges the augmentations of a run; trains nothing.

    Args:
        config: of the run; only the corpora to pretrain on are prepared.

    Returns:
        The page, one HTML file, which is an artifact of an MLflow run of its own as well.

    Raises:
        UserError: as for a run.
    """
    recordings = check(config, Stage.PRETRAIN)
    result = RunResult(config)
    prepare_corpora(config, recordings, result)
    rate = config.log_mel.sample_rate_hz
    stores = [ClipStore(result.clips[corpus].folder, rate) for corpus in config.pretrain_corpora]
    shown: Any = {"seed": True, "augment": True, "log_mel": True, "crops": {"crop_seconds"}}
    values = config.model_dump(mode="json", include=shown)
    digests = [done.digest for done in result.clips.values()]
    key = digest_values("preview", config.run_name, values, sounds(config), digests)
    folder = named_folder(config, "previews", key)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "augmentations.html"
    clips = preview_clips(stores, config.crops, config.seed)
    write_augmentation_page(clips, config.augment, config.log_mel, config.seed, page, config.run_name)
    name = f"preview of {config.run_name}"
    tracked = TrackedRun.open(
        config.tracking, config.work_folder.absolute(), key, name, tags={KIND_TAG: PREVIEW_KIND}
    )
    with tracked.until_end():
        tracked.log_parameters(dict(flatten(values)))
        tracked.log_artifacts(page)
    return page


def preview_clips(stores: Sequence[ClipStore], crops: CropsConfig, seed: int) -> list[PreviewClip]:
    """The loudest crop of each of a few recordings drawn at random: what one can judge an augmentation by.

    Args:
        stores: clips to pretrain on, at one rate.
        crops: length of a crop.
        seed: of the run.
    """
    rate = stores[0].sample_rate_hz
    owners = [(store, clip) for store in stores for clip in range(len(store))]
    drawn = numpy_generator(seed, 0, Stream.PREVIEW).permutation(len(owners))[:CLIPS_SHOWN]
    shown = []
    for store, clip in (owners[number] for number in drawn):
        samples = round(crops.crop_seconds * rate)
        # A minute is enough to find something loud in, however long the recording is.
        waveform = store.read(clip, 0, min(int(store.samples[clip]), max(samples, 60 * rate)))
        energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
        starts = np.arange(0, max(1, len(waveform) - samples + 1), max(1, rate // 20))
        ends = np.minimum(starts + samples, len(waveform))
        start = int(starts[(energy[ends] - energy[starts]).argmax()])
        shown.append(
            PreviewClip(store.column("path")[clip] or f"clip {clip}", store.read(clip, start, samples))
        )
    return shown
