"""Sweeps to start from."""
