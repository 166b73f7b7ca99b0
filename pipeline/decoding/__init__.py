"""Decoding of recordings to checked waveforms."""
