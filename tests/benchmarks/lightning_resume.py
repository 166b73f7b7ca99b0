"""Whether a training by Lightning that is killed and resumed ends with the weights of an undisturbed one.

    python -m tests.benchmarks.lightning_resume

30 steps in 3 epochs over a shuffled `DataLoader`, with noise drawn in each step and a checkpoint after each; everything
else is as Lightning sets it. Needs `pytorch_lightning`.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


def train(folder: Path, kill_at: int) -> None:
    """Train, or resume from the last checkpoint in the folder; print a digest of the weights.

    Args:
        folder: of the checkpoints.
        kill_at: steps done when the process kills itself; 0 for never.
    """
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.callbacks import Callback, ModelCheckpoint

    class Model(pl.LightningModule):
        """A linear layer that learns to remove noise."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 8)

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            (x,) = batch
            return torch.nn.functional.mse_loss(self.layer(x + 0.1 * torch.randn_like(x)), x)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), 1e-2)

    class Kill(Callback):
        """Kills the process after a step."""

        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            if kill_at and trainer.global_step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    pl.seed_everything(0, verbose=False)
    data = torch.utils.data.TensorDataset(torch.randn(80, 8))
    model, last = Model(), folder / "last.ckpt"
    checkpoints = ModelCheckpoint(folder, every_n_train_steps=1, save_last=True)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[checkpoints, Kill()],
    )
    loader = torch.utils.data.DataLoader(data, 8, shuffle=True)
    trainer.fit(model, loader, ckpt_path=last if last.exists() else None, weights_only=False)
    weights = model.layer.weight.detach().numpy()
    print(pl.__version__, hashlib.sha256(weights.tobytes()).hexdigest()[:16])


def main() -> None:
    """Print the digests of an undisturbed training, of its repetition, and of two that were killed and resumed."""
    for name, kills in {
        "undisturbed": [0],
        "again": [0],
        "killed at 17": [17, 0],
        "killed at 20": [20, 0],
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            for kill_at in kills:
                command = [sys.executable, "-m", "tests.benchmarks.lightning_resume", folder, str(kill_at)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"{name:<14} {done.stdout.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        train(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
