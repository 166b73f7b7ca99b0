"""The command `echopair`, also as `python -m echopair`."""


def main() -> None:
    """Run the command line."""
    # Here: the worker processes of `prepare` import this module again, and need no command line.
    from echopair.tuning.cli import main as run

    run()


if __name__ == "__main__":
    main()
