"""Presets: runs to start from; each states only what differs from the defaults of RunConfig."""
