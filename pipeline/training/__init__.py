"""Clips -> crops -> views -> encoder: the training loop and all that it needs."""
