"""Augmentations that make views of a clip; independent of the pipeline."""
