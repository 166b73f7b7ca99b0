"""`echopair evaluate`: what encoders have learned."""

from typing import Annotated

import typer

from echopair.pipeline.cli import app, output
from echopair.pipeline.errors import short_path


@app.command()
def evaluate(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="ENCODER ... [PRESET or YAML ...] [key=value ...]",
            help="encoders, side by side; presets and files with the corpora to evaluate on (default: synthetic); and "
            "what to change, as suites=[linear,few_labels]",
            show_default=False,
        ),
    ],
) -> None:
    """What encoders have learned: suites of evaluations, with intervals, beside baselines, on one page."""
    from echopair.pipeline.evaluate.run import evaluate as evaluate_encoders
    from echopair.pipeline.evaluate.write import lines_of, print_tables, write_evaluation

    done = evaluate_encoders(arguments)
    folder = write_evaluation(done)
    print_tables(output, done)
    for line in lines_of(done):
        output.print(line, soft_wrap=True, highlight=False, markup=False)
    output.print(
        f"page    {short_path(folder / 'evaluation.html')}", soft_wrap=True, highlight=False, markup=False
    )
    output.print(
        f"scores  {short_path(folder / 'scores.csv')}", soft_wrap=True, highlight=False, markup=False
    )
