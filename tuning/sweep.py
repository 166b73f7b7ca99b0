"""A sweep from its settings to its report: check, prepare, try, choose, read the best one's test folds once.

<work folder>/sweeps/<name>-<identity>/
    sweep.yaml, trials/      the ledger: what was asked for and what became of it
    best.yaml                the best trial as a run: `echopair run best.yaml` gives its score again
    report.html, trials.csv, *.png
"""

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console
from echopair.pipeline.run import RunResult
from echopair.pipeline.stages import locked_if_free
from echopair.pipeline.tracking import TrackedRun, TrackingError
from echopair.pipeline.tracking.interruption import interruption_later
from echopair.pipeline.training.checkpoints import CHECKPOINTS_FOLDER, steps_done
from echopair.tuning.cluster import environment, ray_session
from echopair.tuning.conclusion import SweepResult, conclude
from echopair.tuning.config import SweepSettings
from echopair.tuning.ledger import SWEEPS_FOLDER, Ledger
from echopair.tuning.preparation import check_sweep, prepare_sweep, settle_recordings
from echopair.tuning.progress import SweepProgress
from echopair.tuning.recorder import Recorder, open_parent
from echopair.tuning.resources import Available, Resources, memory_share, resolve_resources
from echopair.tuning.sampler import Sampler
from echopair.tuning.schedulers import build_scheduler
from echopair.tuning.task import TrialTask, config_of, training_of
from echopair.tuning.texts import duration_text
from echopair.tuning.trial_folder import (
    MILESTONE_PREFIX,
    allow_again,
    set_error_aside,
    trainings_of,
    trial_folder,
)
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from echopair.tuning.courier import Courier

RAY_FOLDER = "ray"
# How long a tracking store that is away is waited for at the end.
LAST_TRY_SECONDS = 60.0
INTERRUPTED_SECONDS = 3.0
STEPS_PLAN, THREADS_PLAN = "steps", "threads"


def sweep_folder(settings: SweepSettings) -> Path:
    """Where a sweep lies."""
    name = settings.sweep.sweep_name.replace("/", "-")
    return settings.run.work_folder.absolute() / SWEEPS_FOLDER / f"{name}-{settings.identity[:8]}"


def sweep(settings: SweepSettings, *, retry_failed: bool = False) -> SweepResult:
    """Run a sweep, or go on with it if it was begun before.

    Args:
        settings: of the sweep.
        retry_failed: whether trials that failed are tried again.

    Raises:
        UserError: anything a person can mend; whatever can be known beforehand is found before any long work.
    """
    proposals = check_sweep(settings)
    folder = sweep_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    return _go_on(Ledger.create(folder, settings), proposals, retry_failed=retry_failed)


def resume(folder: Path, *, retry_failed: bool = False) -> SweepResult:
    """Go on with a sweep that was killed; of one that is through, write the report again.

    Args:
        folder: of the sweep.
        retry_failed: whether trials that failed are tried again.

    Raises:
        UserError: see `Ledger.open` and `sweep`.
    """
    ledger = Ledger.open(folder.absolute())
    return _go_on(ledger, check_sweep(ledger.settings), retry_failed=retry_failed)


def _go_on(ledger: Ledger, proposals: Sampler, *, retry_failed: bool) -> SweepResult:
    result = SweepResult(ledger.folder, list(ledger.settings.sweep.space))
    began = time.monotonic()
    with ledger.held():
        is_new = not ledger.trials
        prepared = prepare_sweep(ledger.settings, proposals)
        settle_recordings(ledger, prepared)
        if retry_failed:
            _allow_failed_again(ledger)
        with _parent_run(ledger) as parent:
            for trial in ledger.trials:
                if trial.status == Status.RUNNING:  # its driver was killed
                    ledger.change(trial.number, status=Status.WAITING, error="")
            ended = sum(trial.status.ended for trial in ledger.trials)
            if ended < proposals.total:
                result.unrecorded = _try(ledger, proposals, prepared, parent)
            else:
                console.print(f"all {proposals.total} trials ended before")
                with _recorded(ledger, parent, _task(ledger, prepared)) as result.unrecorded:
                    pass
            conclude(ledger, _task(ledger, prepared), parent, result, began if is_new else None)
    return result


@contextmanager
def _parent_run(ledger: Ledger) -> Iterator[TrackedRun]:
    """The sweep's own run; it is ended if the sweep is broken off."""
    parent: TrackedRun | None = None
    try:
        with interruption_later():  # or it might be RUNNING, and nobody would know of it
            parent = open_parent(ledger)
        yield parent
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        with suppress(TrackingError):  # a lost server hides no error of the sweep itself
            if parent is not None:
                parent.end("KILLED" if interrupted else "FAILED")
        if interrupted:
            console.print(f"the sweep goes on with `echopair sweep --resume {ledger.folder}`", markup=False)
        raise


def _allow_failed_again(ledger: Ledger) -> None:
    failed = [trial.number for trial in ledger.trials if trial.status == Status.FAILED]
    if failed and ledger.settings.sweep.scheduler.name == "pbt":
        raise UserError(
            "--retry-failed: a population has gone on without its failed members; begin another sweep with "
            "sweep.sweep_name=NAME"
        )
    for number in failed:
        allow_again(ledger.folder, number)
        set_error_aside(ledger.folder, number, ledger[number].attempts)
        ledger.change(number, status=Status.WAITING, error="")


def _try(
    ledger: Ledger, proposals: Sampler, prepared: Mapping[int, RunResult], parent: TrackedRun
) -> list[int]:
    """Run the trials that have not ended; returns those that the tracking store would not take."""
    from echopair.tuning.courier import courier_for

    settings = ledger.settings
    with ray_session(settings.ray, ledger.folder) as available:
        resources = resolve_resources(
            settings.sweep.resources, available, wants_gpu=_wants_gpu(settings.run, available)
        )
        if THREADS_PLAN not in ledger.plan:
            ledger.settle(**{THREADS_PLAN: resources.cpus})
        if (threads := int(ledger.plan[THREADS_PLAN])) != resources.cpus:
            console.print(
                f"trials have {threads} threads each, as they began: another number sums in another order"
            )
        clips = [done.folder for result in prepared.values() for done in result.clips.values()]
        with courier_for(settings.ray, settings.run, ledger.folder, clips) as courier:
            _settle_budget(ledger, prepared, proposals.total, resources, courier)
            task = _task(ledger, prepared)
            with _recorded(ledger, parent, task) as unrecorded:
                _fit(ledger, proposals, task, resources, memory_share(resources, available), courier)
    return unrecorded


def _task(ledger: Ledger, prepared: Mapping[int, RunResult]) -> TrialTask:
    # A worker of a cluster that was there before has another current folder.
    run = ledger.settings.run.model_copy(update={"work_folder": ledger.settings.run.work_folder.absolute()})
    return TrialTask(
        settings=ledger.settings.model_copy(update={"run": run}),
        clips={
            rate: {corpus: done.folder for corpus, done in result.clips.items()}
            for rate, result in prepared.items()
        },
        folder=ledger.folder,
        steps=ledger.plan.get(STEPS_PLAN),
        threads=int(ledger.plan[THREADS_PLAN]),
    )


def _settle_budget(
    ledger: Ledger,
    prepared: Mapping[int, RunResult],
    trials: int,
    resources: Resources,
    courier: "Courier | None",
) -> None:
    """Turn a budget in minutes into steps once: trials of equal steps can be compared, and done again."""
    config = ledger.settings.run
    if config.pretrain.minutes is None or STEPS_PLAN in ledger.plan:
        return
    from echopair.tuning.ray_trials import measure_steps

    result = prepared[max(prepared)]  # the highest rate has the most to compute
    folders = [result.clips[corpus].folder for corpus in result.config.pretrain_corpora]
    with console.status(f"measuring how many steps {config.pretrain.minutes:g} minutes of a trial are"):
        steps = measure_steps(result.config, folders, resources, courier)
    ledger.settle(**{STEPS_PLAN: steps})
    rounds = math.ceil(trials / resources.at_once)
    console.print(
        f"{config.pretrain.minutes:g} minutes a trial are {steps} steps here; {trials} trials, {resources.at_once} at "
        f"once, train for {duration_text(60 * rounds * config.pretrain.minutes)} at most"
    )


def _wants_gpu(config: RunConfig, available: Available) -> bool:
    if "cuda" in (config.pretrain.device, config.embed.device):
        return True
    return config.pretrain.device == "auto" and available.gpus > 0


@contextmanager
def _recorded(ledger: Ledger, parent: TrackedRun, task: TrialTask) -> Iterator[list[int]]:
    """Keep MLflow up to date; the list holds, afterwards, the trials that the store would not take."""
    recorder = Recorder(
        ledger,
        parent,
        config_of=lambda trial: config_of(task, trial),
        training_of=lambda trial: training_of(task, trial),
    )
    unrecorded: list[int] = []
    recorder.start()
    patience = INTERRUPTED_SECONDS
    try:
        yield unrecorded
        patience = LAST_TRY_SECONDS
    finally:
        for trial in ledger.trials:
            if trial.status == Status.RUNNING:  # interrupted
                ledger.change(trial.number, status=Status.WAITING, error="")
        unrecorded += recorder.close(patience)


def _fit(
    ledger: Ledger,
    proposals: Sampler,
    task: TrialTask,
    resources: Resources,
    memory: int,
    courier: "Courier | None",
) -> None:
    """Hand the trials to Ray Tune until all have ended."""
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune.error import TuneError

    from echopair.tuning.ray_trials import LedgerCallback, LedgerSearch, trainable

    sweep = ledger.settings.sweep
    folder = ledger.folder / RAY_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier driver; the ledger knows more
    at_once = proposals.total if sweep.scheduler.name == "pbt" else resources.at_once
    with SweepProgress(sweep.sweep_name, proposals.total, list(sweep.space), sweep.readings) as progress:
        progress.show(ledger.trials)
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(
                    trainable, task=task, memory_bytes=resources.memory_bytes, courier=courier
                ),
                {"cpu": resources.cpus, "gpu": resources.gpus, "memory": memory},
            ),
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearch(ledger, proposals, at_once),
                scheduler=build_scheduler(
                    sweep.scheduler, sweep.space, sweep.readings, proposals.total, sweep.seed, ledger.trials
                ),
                num_samples=proposals.total,
                # Ray keeps what it pauses, in a process that it may not use again: where that one brings files from
                # another node, it would keep the trial's folder there as well.
                reuse_actors=courier is None or sweep.scheduler.name != "pbt",
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=sweep.retries),
                callbacks=[
                    LedgerCallback(
                        ledger,
                        on_change=lambda: progress.show(ledger.trials),
                        on_end=lambda trial: tidy(task, trial, ledger.trials),
                    )
                ],
            ),
        )
        try:
            # Without it Ray starts a trial's process only when the one before has started.
            with environment({"TUNE_MAX_PENDING_TRIALS_PG": str(resources.at_once)}):
                tuner.fit()
        except (RuntimeError, RayError, TuneError) as error:  # such as of a cluster's own memory monitor
            reason = " ".join(str(error.__cause__ or error).split())
            raise UserError(
                f"Ray ended the sweep: {reason}; `echopair sweep --resume {ledger.folder}` goes on"
            ) from error
    shutil.rmtree(folder, ignore_errors=True)
    left = proposals.total - sum(trial.status.ended for trial in ledger.trials)
    if left:
        raise UserError(
            f"Ray ended before {left} of {proposals.total} trials; `echopair sweep --resume {ledger.folder}` goes on"
        )
    for trial in ledger.trials:
        tidy(task, trial, ledger.trials)
        for kept in trial_folder(task.folder, trial.number).glob(f"{MILESTONE_PREFIX}*"):
            shutil.rmtree(kept)


def tidy(task: TrialTask, trial: Trial, trials: Sequence[Trial]) -> None:
    """Remove what only a training under way needs: hundreds of checkpoints fill a disk.

    It stays where somebody counts on it: a trial of the same values that is not through, one that failed and may be
    tried again, a run or another sweep that is at work on the training, or that has brought it further than a trial
    that was stopped early.

    Args:
        task: the sweep's.
        trial: it has ended.
        trials: all of the sweep.
    """
    retried = task.settings.sweep.scheduler.name != "pbt"
    counting = [one for one in trials if not one.status.ended or (retried and one.status is Status.FAILED)]
    counted_on = {name for one in counting for name in trainings_of(task.folder, one.number)}
    for training in set(trainings_of(task.folder, trial.number)) - counted_on:
        folder = task.settings.run.work_folder.absolute() / training
        partial = folder.with_name(f"{folder.name}.partial")
        with locked_if_free(folder) as free:
            if not free or (trial.status is Status.STOPPED and steps_done(partial) > trial.step):
                continue
            for one in (folder, partial):
                shutil.rmtree(one / CHECKPOINTS_FOLDER, ignore_errors=True)
