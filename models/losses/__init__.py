"""Training losses: pure functions of tensors, which methods use."""
