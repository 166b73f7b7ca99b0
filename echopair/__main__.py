"""`python -m echopair`: the same as the command `echopair`."""

from echopair.tuning.cli import main

main()
