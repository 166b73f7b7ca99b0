"""`echopair`: one command a stage, and run, preview, compare, ui, config.

`pipeline.encoder_cli` adds apply, label, search, explore, export and play, `tuning.cli` sweep and presets.
"""

import os
import signal
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated, Any

# Before any of them is imported: nothing is reported to anybody, and no library draws bars of its own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import typer
from rich.console import Console
from rich.markup import escape

from echopair.pipeline.errors import UserError, short_path, system_failure

if TYPE_CHECKING:
    from echopair.pipeline.config import RunConfig

USAGE_ERROR = 2
INTERRUPTED = 130
PIPE_COLUMNS = 200
UNRECORDED = 1
CONTINUED = ("run", "prepare", "pretrain", "embed", "probe", "compare-objectives", "sweep", "apply")
LINE_CHARACTERS = 10_000

app = typer.Typer(
    name="echopair",
    help="Learns to hear without labels: contrastive audio encoders from a folder of recordings.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
output = Console()

RunArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PRESET or YAML ...] [key=value ...]",
        help="What to start from (default: synthetic; see `echopair presets`; later ones override earlier ones), and "
        "what to change, as objective.temperature=0.1",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def _echopair(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    if version:
        import echopair

        print(f"echopair {echopair.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help(), end="")


@app.command()
def run(arguments: RunArguments = None) -> None:
    """All stages: recordings -> clips -> encoder -> embeddings -> accuracy, recorded in MLflow."""
    _run(arguments, "EVALUATE")


@app.command()
def prepare(arguments: RunArguments = None) -> None:
    """Stage 1: check and decode the recordings; writes a report of what was refused."""
    _run(arguments, "PREPARE")


@app.command()
def pretrain(arguments: RunArguments = None) -> None:
    """Stage 2: train an encoder, by default without labels; continues where a killed one stopped."""
    _run(arguments, "PRETRAIN")


@app.command()
def embed(arguments: RunArguments = None) -> None:
    """Stage 3: embed every clip with the encoder."""
    _run(arguments, "EMBED")


@app.command()
def probe(arguments: RunArguments = None) -> None:
    """Stage 4: the accuracy of a linear classifier on the embeddings, beside its baselines, and other evaluations."""
    _run(arguments, "EVALUATE")


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
    if config.tracking.uri is None:
        _require_work_folder(config)
    # A pipe has no width of its own: nothing is cut there.
    console = output if output.is_terminal else Console(width=PIPE_COLUMNS)
    console.print(comparison_table(config.tracking, config.work_folder.absolute()))


@app.command()
def compare_objectives(
    arguments: RunArguments = None,
    only: Annotated[
        str, typer.Option(help="objectives to compare, separated by commas; by default all")
    ] = "",
) -> None:
    """Run once for each objective and compare the scores; give a budget in minutes for equal time."""
    from echopair.pipeline.layers import split_arguments
    from echopair.pipeline.objectives_comparison import compare_objectives, comparison_of_objectives

    names = [name.strip() for name in only.split(",") if name.strip()]
    results = compare_objectives(*split_arguments(arguments or []), names)
    console = output if output.is_terminal else Console(width=PIPE_COLUMNS)
    console.print(comparison_of_objectives(results))
    if failed := [f"{one.name}: {one.failure}" for one in results if one.run is None]:
        _fail("\n".join([f"{len(failed)} of {len(results)} objectives have no score", *failed]), UNRECORDED)


@app.command()
def ui(
    arguments: RunArguments = None,
    port: Annotated[int, typer.Option(help="port on 127.0.0.1", min=1, max=65535)] = 5000,
) -> None:
    """The MLflow UI on the recorded runs, on 127.0.0.1 until Ctrl-C."""
    from echopair.pipeline.tracking.server import serve_ui

    config = _compose(arguments)
    _require_work_folder(config)
    output.print("starting the MLflow UI, which takes some seconds ...")
    raise typer.Exit(
        serve_ui(
            config.tracking,
            config.work_folder.absolute(),
            port,
            on_ready=_show_address,
        )
    )


def _show_address(url: str) -> None:
    output.print(f"MLflow UI: {url}   (Ctrl-C ends it)", soft_wrap=True, highlight=False, markup=False)
    if output.is_terminal:
        webbrowser.open(url)


@app.command()
def config(arguments: RunArguments = None) -> None:
    """The whole config of a run, as YAML, every default filled in; runs nothing."""
    import yaml

    from echopair.pipeline.config import as_given

    values = as_given(_compose(arguments))
    print(yaml.safe_dump(values, sort_keys=False), end="")


def main() -> None:
    """Entry point of the console script: errors that a person can fix are a line or two and exit status 2."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _interrupt_again
    try:
        # Of a command that raised typer.Exit or was interrupted.
        status = app(prog_name="echopair", standalone_mode=False)
    except UserError as error:
        _fail(_with_origins(str(error), sys.argv[2:]), USAGE_ERROR)
    except typer.TyperException as error:  # pragma: no cover
        _fail(error.format_message().replace("\t", " ").replace("Value error, ", ""), USAGE_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        reason = system_failure(error)
        if not reason:
            raise
        _fail(reason, USAGE_ERROR)
    if status == INTERRUPTED:
        continues = sys.argv[1:2] and sys.argv[1] in CONTINUED
        _fail("interrupted; the same command continues" if continues else "interrupted", INTERRUPTED)
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
    from echopair.pipeline.pages import printable
    from echopair.pipeline.tracking.store import shown

    # The message may hold brackets, which are no markup, and names of files, whose control characters rule a terminal.
    message = "\n".join(printable(line, LINE_CHARACTERS) for line in shown(message).split("\n"))
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(message)}")
    sys.exit(status)


def _with_origins(message: str, arguments: list[str]) -> str:
    """The message, and which preset or file gives the keys that it is about, unless the command itself does."""
    from echopair.pipeline.layers import PRESETS, SWEEP_PRESETS, is_config, origins, split_arguments

    packages = [PRESETS, SWEEP_PRESETS]
    sources, overrides = split_arguments([one for one in arguments if one[:1] != "-"])
    # Some commands take encoders, recordings and tables beside them.
    note = origins(message, [one for one in sources if is_config(one, packages)], overrides, packages)
    return f"{message} ({note})" if note else message


def _require_work_folder(config: "RunConfig") -> None:
    work = config.work_folder.absolute()
    if not work.is_dir():
        raise UserError(
            f"work_folder={short_path(work)} does not exist, so no runs are recorded there; add work_folder=FOLDER of "
            "your runs, or make one by `echopair run`"
        )


def _compose(arguments: list[str] | None) -> "RunConfig":
    from echopair.pipeline.config import compose
    from echopair.pipeline.layers import split_arguments

    return compose(*split_arguments(arguments or []))


def _run(arguments: list[str] | None, until: str) -> None:
    config = _compose(arguments)
    from echopair.pipeline.checks import Stage
    from echopair.pipeline.printed_result import print_result
    from echopair.pipeline.run import run as run_stages

    result = run_stages(config, Stage[until])
    print_result(output, result, Stage[until].name.lower())
    if result.unrecorded:
        _fail(f"the run is not wholly recorded; the same command records it. {result.unrecorded}", UNRECORDED)
