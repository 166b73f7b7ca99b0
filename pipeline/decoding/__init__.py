"""Recordings as found -> waveforms that can be trusted."""
