"""Runs on a small disk that fills up at a certain moment: one line, a closed MLflow run, and the same command goes on.

    sudo python -m tests.torture.full_disk [--only checkpoint ...]

The disk is a tmpfs (mount needs root). At a moment, seen by a file that appears, all that is left of it is taken. The
run must end with exit status 1 or 2 and a message that says so, without a traceback and with its run in MLflow closed;
with the space back, the same command must come to the result of an undisturbed run.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

MOMENTS = {
    "clips": "clips/*.partial",
    "checkpoint": "encoders/*.partial/checkpoints/latest.pt",
    "picture": "encoders/*/.preview.new/*.wav",
    "embeddings": "embeddings/*.partial",
    "evaluation": "evaluations/*.partial",
    "record": "runs/*/report.html",
}
DISK_MEGABYTES = 32


def fill(file: Path) -> None:
    """Take all that is left of a disk."""
    with file.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                continue


def play(moment: str, file: Path, work: Path, oracle: dict[str, object]) -> str:
    """Fill the disk at a moment of a run; returns what the run said, and fails if it did not go on."""
    import sqlite3

    from tests.torture.kills import result_of, start_stage, undisturbed

    process = start_stage("run", file, work)
    while not any(work.glob(MOMENTS[moment])) and not process.ended:
        time.sleep(0.001)
    fill(work / "ballast")
    status = process.wait(300)
    said, complained = process.output.read_text(), process.errors.read_text()
    last = complained.strip().splitlines()[-1]
    assert status in (1, 2), f"exit status {status}: {last}"
    assert "Traceback" not in complained, complained
    assert "No space left" in last or "disk is full" in last, last
    assert "free space" in last, last
    statuses = []
    (work / "ballast").unlink()
    if (work / "mlflow.db").is_file():
        with closing(sqlite3.connect(work / "mlflow.db")) as connection:
            statuses = [status for (status,) in connection.execute("select status from runs")]
    assert all(status == "FAILED" for status in statuses), statuses
    undisturbed("run", file, work)
    assert result_of(work) == oracle, "another result"
    return f"exit {status}, {statuses}, table {'shown' if 'pretrained' in said else 'not shown'}: {last}"


def main() -> None:
    """Play the moments and print a line of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=MOMENTS, metavar="MOMENT", help=", ".join(MOMENTS))
    arguments = parser.parse_args()
    from tests.pipeline.test_run import write_config
    from tests.torture.kills import result_of, undisturbed

    violations = 0
    with tempfile.TemporaryDirectory(prefix="full-disk-") as temporary:
        folder = Path(temporary)
        file = write_config(folder)
        undisturbed("run", file, folder / "oracle")
        oracle = result_of(folder / "oracle")
        for moment in arguments.only or MOMENTS:
            disk = folder / moment
            disk.mkdir()
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", disk], check=True
            )
            try:
                print(f"{moment:<11} equal; {play(moment, file, disk, oracle)}", flush=True)
            except AssertionError as error:
                violations += 1
                print(f"{moment:<11} VIOLATION: {error}", flush=True)
            finally:
                subprocess.run(["umount", "-l", disk], check=True)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
