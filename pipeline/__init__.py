"""The stages of the pipeline, and the command line that runs them."""
