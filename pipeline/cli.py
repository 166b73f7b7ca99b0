"""`echopair`: one command a stage, and run, preview, compare, ui, config; `tuning.cli` adds sweep and presets."""

import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Before any of them is imported: nothing is reported to anybody, and no library draws bars of its own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import typer
from rich.console import Console
from rich.markup import escape

from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.run import RunResult

USAGE_ERROR = 2
INTERRUPTED = 130
PIPE_COLUMNS = 200

app = typer.Typer(
    name="echopair",
    help="Learns to hear without labels: contrastive audio encoders from a folder of recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
output = Console()

RunArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PRESET or YAML ...] [key=value ...]",
        help="What to start from (default: synthetic; see `echopair presets`; later ones lie over earlier ones), and "
        "what to change, as "
        "objective.temperature=0.1",
        show_default=False,
    ),
]


@app.command()
def run(arguments: RunArguments = None) -> None:
    """All stages: recordings -> clips -> encoder -> embeddings -> accuracy, recorded in MLflow."""
    _run(arguments, "PROBE")


@app.command()
def prepare(arguments: RunArguments = None) -> None:
    """Stage 1: check and decode the recordings; writes a report of what was refused."""
    _run(arguments, "PREPARE")


@app.command()
def pretrain(arguments: RunArguments = None) -> None:
    """Stage 2: train an encoder without labels; goes on where a killed one stopped."""
    _run(arguments, "PRETRAIN")


@app.command()
def embed(arguments: RunArguments = None) -> None:
    """Stage 3: embed every clip with the encoder."""
    _run(arguments, "EMBED")


@app.command()
def probe(arguments: RunArguments = None) -> None:
    """Stage 4: the accuracy of a linear classifier on the embeddings, beside its baselines."""
    _run(arguments, "PROBE")


@app.command()
def preview(arguments: RunArguments = None) -> None:
    """A page to judge augmentations by: pictures and sound of views at several strengths; trains nothing."""
    config = _compose(arguments)
    from echopair.pipeline.augmentation_page.preview import preview as write_preview

    output.print(
        f"preview  {short_path(write_preview(config))}", soft_wrap=True, highlight=False, markup=False
    )


@app.command()
def compare(arguments: RunArguments = None) -> None:
    """The recorded runs as a table, best first."""
    from echopair.pipeline.results import comparison_table

    config = _compose(arguments)
    # A pipe has no width of its own: nothing is cut there.
    console = output if output.is_terminal else Console(width=PIPE_COLUMNS)
    console.print(comparison_table(config.tracking, config.work_folder.absolute()))


@app.command()
def ui(
    arguments: RunArguments = None,
    port: Annotated[int, typer.Option(help="port on 127.0.0.1", min=1, max=65535)] = 5000,
) -> None:
    """The MLflow UI on the recorded runs, on 127.0.0.1 until Ctrl-C."""
    from echopair.pipeline.tracking.server import serve_ui

    config = _compose(arguments)
    output.print("starting the MLflow UI, which takes some seconds ...")
    raise typer.Exit(
        serve_ui(
            config.tracking,
            config.work_folder.absolute(),
            port,
            on_ready=lambda url: output.print(f"MLflow UI: {url}   (Ctrl-C ends it)"),
        )
    )


@app.command()
def config(arguments: RunArguments = None) -> None:
    """The whole config of a run, as YAML, every default filled in; runs nothing."""
    import yaml

    values = _compose(arguments).model_dump(mode="json")
    print(yaml.safe_dump(values, sort_keys=False), end="")


def main() -> None:
    """Entry point of the console script: errors that a person can mend are a line or two and exit status 2."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _interrupt_again
    try:
        status = app(standalone_mode=False)  # of a command that raised typer.Exit or was interrupted
    except UserError as error:
        _fail(str(error), USAGE_ERROR)
    except typer.TyperException as error:  # pragma: no cover
        _fail(error.format_message(), USAGE_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:
        _fail("interrupted", INTERRUPTED)
    sys.exit(status or 0)


def _interrupt(_signal: int, _frame: Any) -> None:
    # As Ctrl-C: stages unwind, and the MLflow run is ended as KILLED.
    raise KeyboardInterrupt


def _interrupt_again(ignored: "sys.UnraisableHookArgs") -> None:
    # Python ignores what is raised in a finalizer or a weak reference's callback, and the signal may come in one.
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(ignored)


def _fail(message: str, status: int) -> None:
    # The message may hold brackets, which are no markup.
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(message)}")
    sys.exit(status)


def _compose(arguments: list[str] | None) -> "RunConfig":
    from echopair.pipeline.config import compose

    given = arguments or []
    sources = list(itertools.takewhile(lambda argument: "=" not in argument, given))
    return compose(sources, given[len(sources) :])


def _run(arguments: list[str] | None, until: str) -> None:
    config = _compose(arguments)
    from echopair.pipeline.checks import Stage
    from echopair.pipeline.run import run as run_stages

    result = run_stages(config, Stage[until])
    _print_result(result, Stage[until].name.lower(), arguments or [])


def _print_result(result: "RunResult", stage: str, arguments: list[str]) -> None:
    from echopair.pipeline.results import probe_table, probe_title, validation_line

    if result.validations:
        line = validation_line(result.validations, result.score)
        output.print(line, style="bold", soft_wrap=True, highlight=False, markup=False)
    for summary in result.probes.values():
        output.print(probe_title(summary), style="bold", soft_wrap=True, highlight=False)
        output.print(probe_table(summary))
    if not result.did:
        output.print(f"Nothing to do: every stage up to {stage} was done before ({result.seconds:.1f} s).")
    command = " ".join(
        ["echopair ui", *[a for a in arguments if a.startswith(("work_folder=", "tracking."))]]
    )
    rows: dict[str, object] = {
        f"report of {corpus}": done.folder / "report.html" for corpus, done in result.clips.items()
    }
    if result.encoder is not None:
        rows |= {"encoder": result.encoder}
    if result.folder is not None:
        rows |= {
            "run": f"{result.folder / 'run.yaml'}",
            "compare runs": f"echopair compare, or in a browser: {command}",
        }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        output.print(f"{name:<{width}}  {short_path(value)}", soft_wrap=True, highlight=False, markup=False)


def short_path(value: object) -> str:
    """A path as people type it: from the current folder where it lies below."""
    path = value if isinstance(value, Path) else Path(str(value))
    return (
        str(path.relative_to(Path.cwd()))
        if path.is_absolute() and path.is_relative_to(Path.cwd())
        else str(value)
    )
