"""Clips -> crops -> views -> encoder: the training loop and what decides, keeps and draws its course."""
