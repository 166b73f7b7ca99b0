"""Sweeps: which temperature, strength and other settings suit a collection of recordings."""
