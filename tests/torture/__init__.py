"""Long tests, outside `make test`: what a machine may do to a run, done at random moments."""
