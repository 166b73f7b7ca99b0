"""A sweep from its settings to its report: check, prepare, try, choose, evaluate the best one once on its test folds.

<work folder>/sweeps/<name>-<key>/
    sweep.yaml, trials/      the state: what was asked for and what became of it
    best.yaml                the best trial as a run: `echopair run best.yaml` gives its score again
    report.html, trials.csv, *.png
"""

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console
from echopair.pipeline.ray_cluster import RayConfig, connect, environment
from echopair.pipeline.ray_nodes import Node, check_nodes
from echopair.pipeline.run import RunResult
from echopair.pipeline.stages import file_name
from echopair.pipeline.tracking import TrackedRun, TrackingError
from echopair.pipeline.tracking.interruption import defer_interruption
from echopair.pipeline.tracking.store import shown
from echopair.tuning.config import SweepSettings
from echopair.tuning.context import TrialContext
from echopair.tuning.finalise import SweepResult, finalise
from echopair.tuning.preparation import check_sweep, prepare_sweep, settle_recordings
from echopair.tuning.progress import SweepProgress
from echopair.tuning.resources import Resources, memory_share, resolve_resources
from echopair.tuning.sampler import Sampler
from echopair.tuning.schedulers import build_scheduler
from echopair.tuning.state import SWEEPS_FOLDER, SweepState
from echopair.tuning.texts import duration_text
from echopair.tuning.tracking import SweepTracker, open_parent
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status

RAY_FOLDER = "ray"
# How long to wait at the end for a tracking store that does not answer.
LAST_TRY_SECONDS = 60.0
INTERRUPTED_SECONDS = 3.0
STEPS_PLAN, THREADS_PLAN = "steps", "threads"
TUNE_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # A trial that is stopped ends with the copy that it is at; too short a wait fails the next one.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
}


def sweep_folder(settings: SweepSettings) -> Path:
    """The folder of a sweep."""
    name = f"{file_name(settings.sweep.sweep_name)}-{settings.key[:8]}"
    return settings.run.work_folder.absolute() / SWEEPS_FOLDER / name


def sweep(settings: SweepSettings, *, retry_failed: bool = False) -> SweepResult:
    """Run a sweep, or continue it if it was begun before.

    Raises:
        UserError: anything a person can fix; whatever can be known beforehand is found before any long work.
    """
    sampler = check_sweep(settings)
    folder = sweep_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    _check_cluster(settings.run.ray, folder)
    return _continue(SweepState.create(folder, settings), sampler, retry_failed=retry_failed)


def resume(folder: Path, *, retry_failed: bool = False) -> SweepResult:
    """Continue a sweep that was killed; of a finished one, write the report again.

    Raises:
        UserError: see `SweepState.open` and `sweep`.
    """
    state = SweepState.open(folder.absolute())
    _check_cluster(state.settings.run.ray, state.folder)
    return _continue(state, check_sweep(state.settings), retry_failed=retry_failed)


def _check_cluster(config: RayConfig, folder: Path) -> None:
    if config.address is not None:
        with connect(config, folder, TUNE_ENVIRONMENT):
            check_nodes(folder)


def _continue(state: SweepState, sampler: Sampler, *, retry_failed: bool) -> SweepResult:
    result = SweepResult(state.folder, list(state.settings.sweep.space))
    began = time.monotonic()
    with state.exclusive():
        is_new = not state.trials
        prepared = prepare_sweep(state.settings, sampler)
        settle_recordings(state, prepared)
        if retry_failed:
            _allow_failed_again(state)
        with _parent_run(state) as parent:
            state.requeue_running()  # those of a killed driver
            ended = sum(trial.status.ended for trial in state.trials)
            if ended < sampler.total:
                result.unrecorded = _run_trials(state, sampler, prepared, parent)
            else:
                console.print(f"all {sampler.total} trials ended before")
                with _recorded(state, parent, _context(state, prepared)) as result.unrecorded:
                    pass
            finalise(state, _context(state, prepared), parent, result, began if is_new else None)
    return result


@contextmanager
def _parent_run(state: SweepState) -> Iterator[TrackedRun]:
    """The sweep's own run; it is ended if the sweep is broken off."""
    parent: TrackedRun | None = None
    try:
        with defer_interruption():  # or it might be RUNNING, and nobody would know of it
            parent = open_parent(state)
        yield parent
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        with suppress(TrackingError):  # a lost server hides no error of the sweep itself
            if parent is not None:
                parent.end("KILLED" if interrupted else "FAILED")
        if interrupted:
            console.print(f"continue the sweep with `echopair sweep --resume {state.folder}`", markup=False)
        raise


def _allow_failed_again(state: SweepState) -> None:
    failed = [trial.number for trial in state.trials if trial.status == Status.FAILED]
    if failed and state.settings.sweep.scheduler.name == "pbt":
        raise UserError(
            "--retry-failed: a population has continued without its failed members; begin another sweep with "
            "sweep.sweep_name=NAME"
        )
    for number in failed:
        folder = TrialFolder(state.folder, number)
        folder.allow_again()
        folder.archive_error(state[number].attempts)
        state.change(number, status=Status.WAITING, error="")


def _run_trials(
    state: SweepState, sampler: Sampler, prepared: Mapping[int, RunResult], parent: TrackedRun
) -> list[int]:
    """Run the trials that have not ended; returns those that are not in the tracking store."""
    settings = state.settings
    with connect(settings.run.ray, state.folder, TUNE_ENVIRONMENT) as nodes:
        resources = resolve_resources(
            settings.sweep.resources, nodes, wants_gpu=_wants_gpu(settings.run, nodes)
        )
        if THREADS_PLAN not in state.plan:
            state.fix_plan(**{THREADS_PLAN: resources.cpus})
        if (threads := int(state.plan[THREADS_PLAN])) != resources.cpus:
            console.print(
                f"trials keep {threads} threads each, as when the sweep began, so that results stay identical"
            )
        _settle_budget(state, prepared, sampler.total, resources)
        context = _context(state, prepared)
        with _recorded(state, parent, context) as unrecorded:
            _run_on_ray(state, sampler, context, resources, memory_share(resources, nodes))
    return unrecorded


def _context(state: SweepState, prepared: Mapping[int, RunResult]) -> TrialContext:
    run = state.settings.run
    # A worker of a cluster that was there before has another current folder.
    # Trials log nothing themselves: they, and the files of Ray, get no password.
    tracking = run.tracking.model_copy(update={"uri": run.tracking.uri and shown(run.tracking.uri)})
    # A trial, and the best run, is one of this machine wherever the sweep ran.
    here = {"ray": RayConfig(), "prepare": run.prepare.model_copy(update={"on_ray": False})}
    run = run.model_copy(update={"work_folder": run.work_folder.absolute(), "tracking": tracking, **here})
    return TrialContext(
        settings=state.settings.model_copy(update={"run": run}),
        clips={
            rate: {corpus: done.folder for corpus, done in result.clips.items()}
            for rate, result in prepared.items()
        },
        folder=state.folder,
        steps=state.plan.get(STEPS_PLAN),
        threads=int(state.plan[THREADS_PLAN]),
    )


def _settle_budget(
    state: SweepState, prepared: Mapping[int, RunResult], trials: int, resources: Resources
) -> None:
    """Turn a budget in minutes into steps once: trials of equal steps can be compared, and done again."""
    config = state.settings.run
    if config.pretrain.minutes is None or STEPS_PLAN in state.plan:
        return
    from echopair.tuning.ray_trials import measure_steps

    result = prepared[max(prepared)]  # the highest rate has the most to compute
    folders = [result.clips[corpus].folder for corpus in result.config.pretrain_corpora]
    with console.status(f"measuring how many steps {config.pretrain.minutes:g} minutes of a trial are"):
        steps = measure_steps(result.config, folders, resources)
    state.fix_plan(**{STEPS_PLAN: steps})
    rounds = math.ceil(trials / resources.at_once)
    console.print(
        f"{config.pretrain.minutes:g} minutes a trial are {steps} steps here; {trials} trials, {resources.at_once} at "
        f"once, train for {duration_text(60 * rounds * config.pretrain.minutes)} at most"
    )


def _wants_gpu(config: RunConfig, nodes: Sequence[Node]) -> bool:
    if "cuda" in (config.pretrain.device, config.embed.device):
        return True
    return config.pretrain.device == "auto" and any(node.gpus for node in nodes)


@contextmanager
def _recorded(state: SweepState, parent: TrackedRun, context: TrialContext) -> Iterator[list[int]]:
    """Keep MLflow up to date; the list holds, afterwards, the trials that are not in the store."""
    tracker = SweepTracker(state, parent, context.config_of)
    unrecorded: list[int] = []
    tracker.start()
    patience = INTERRUPTED_SECONDS
    try:
        yield unrecorded
        patience = LAST_TRY_SECONDS
    finally:
        state.requeue_running()  # those of an interrupted one
        unrecorded += tracker.close(patience)


def _run_on_ray(
    state: SweepState, sampler: Sampler, context: TrialContext, resources: Resources, memory: int
) -> None:
    """Hand the trials to Ray Tune until all have ended."""
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune.error import TuneError

    from echopair.tuning.ray_trials import StateCallback, StateSearcher, trainable

    sweep = state.settings.sweep
    folder = state.folder / RAY_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier driver; the state knows more
    is_population = sweep.scheduler.name == "pbt"
    ended = sum(trial.status.ended for trial in state.trials)
    with SweepProgress(sweep.sweep_name, sampler.total, list(sweep.space), sweep.milestones) as progress:
        progress.show(state.trials)
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(trainable, context=context, memory_bytes=resources.memory_bytes),
                {"cpu": resources.cpus, "gpu": resources.gpus, "memory": memory},
            ),
            tune_config=tune.TuneConfig(
                search_alg=StateSearcher(state, sampler),
                # All members of a population have begun; Ray runs as many as there is room for.
                max_concurrent_trials=None if is_population else resources.at_once,
                scheduler=build_scheduler(
                    sweep.scheduler, sweep.space, sweep.milestones, sampler.total, sweep.seed, state.trials
                ),
                num_samples=sampler.total - ended,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=sweep.retries),
                callbacks=[StateCallback(state, on_change=lambda: progress.show(state.trials))],
            ),
        )
        try:
            # Without it Ray starts a trial's process only when the one before has started.
            with environment({"TUNE_MAX_PENDING_TRIALS_PG": str(resources.at_once)}):
                tuner.fit()
        except (RuntimeError, RayError, TuneError) as error:  # such as of a cluster's own memory monitor
            reason = " ".join(str(error.__cause__ or error).split())
            raise UserError(
                f"Ray ended the sweep: {reason}; `echopair sweep --resume {state.folder}` continues it"
            ) from error
    shutil.rmtree(folder, ignore_errors=True)
    left = sampler.total - sum(trial.status.ended for trial in state.trials)
    if left:
        raise UserError(
            f"Ray ended before {left} of {sampler.total} trials; `echopair sweep --resume {state.folder}` continues it"
        )
    for trial in state.trials:
        TrialFolder(state.folder, trial.number).remove_copies()
