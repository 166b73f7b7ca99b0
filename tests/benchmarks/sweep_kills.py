"""Small sweeps that are killed at random moments, in all the ways that machines have, and must lose nothing by it.

    python -m tests.benchmarks.sweep_kills [--rounds 5] [--seed 0] [--only "driver SIGINT" ...]

Each round is one sweep, and one line: its seed, what was done to it and when, and whether it came to the same as an
undisturbed one. `--only SCENARIO --rounds 1 --seed SEED` does a round again, as far as the machine does the same again.
A round takes about a minute on a quiet machine. The exit status is 1 if anything was lost, doubled or left behind.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.pipeline.test_run import write_config
from tests.processes import Started
from tests.ray_nodes import RayCluster
from tests.tuning.sweep_process import (
    MILESTONES,
    SWEEP_SECONDS,
    TRIALS,
    Oracle,
    Server,
    SmallSweep,
    assert_interrupted,
    assert_nothing_left,
    assert_whole,
    kill_node,
    kill_trial,
    must,
    wait_for,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PHASES = ("trying", "starting", "trying", "concluding", "trying")  # of one seed after the other
LONGEST_ABSENCE_SECONDS = 15.0


@dataclass
class Round:
    """One sweep to be disturbed.

    Args:
        seed: of the round.
        random: draws all that is drawn.
        file: of the run that is swept.
        folder: for everything.
        oracle: of the same sweep.
        notes: what was done, and when.
    """

    seed: int
    random: random.Random
    file: Path
    folder: Path
    oracle: Oracle
    notes: list[str] = field(default_factory=list)

    def sweep(self, server: Server | None = None) -> SmallSweep:
        """The sweep, which records to a server if there is one."""
        if server is None:
            return SmallSweep(self.file, self.folder / "sweep")
        return SmallSweep(self.file, self.folder / "sweep", (server.override,), store=server.database)

    def wait_for_a_moment(self, sweep: SmallSweep, process: Started, *phases: str) -> None:
        """Wait until a random moment, counted from what lies on disk, however slow the machine is.

        Args:
            sweep: under way.
            process: its driver.
            phases: in which the moment may lie; by default in any.
        """
        begun, tried, ended = self.oracle.moments
        possible = [phase for phase in PHASES if not phases or phase in phases]
        phase = possible[(self.seed + len(self.notes)) % len(possible)]
        reading, span = 0, begun
        if phase == "trying":
            reading, span = (
                self.random.randrange(TRIALS * MILESTONES),
                (tried - begun) / (TRIALS * MILESTONES),
            )
            wait_for("the first trial", lambda: bool(sweep.trials) or process.ended, SWEEP_SECONDS)
            wait_for(
                f"{reading} scores", lambda: sweep.score_count >= reading or process.ended, SWEEP_SECONDS
            )
        elif phase == "concluding":
            span = ended - tried
            wait_for("the end of all trials", lambda: sweep.all_ended or process.ended, SWEEP_SECONDS)
        after = self.random.uniform(0, span)
        process.process.join(after)
        ended_trials = sum(trial.status.ended for trial in sweep.trials.values())
        state = "was through" if process.ended else f"{sweep.score_count} scores, {ended_trials} trials ended"
        self.notes.append(f"{phase} +{after:.1f} s, {state}")


def driver(
    number: signal.Signals, one: Round, *, group: bool = False, again: bool = False, kills: int = 1
) -> None:
    """Its driver gets a signal, once or more often."""
    with one.sweep() as sweep:
        for _ in range(kills):
            process = sweep.begin() if again or not sweep.processes else sweep.resume()
            one.wait_for_a_moment(sweep, process)
            if not process.ended:
                process.kill(number, group=group)
            if number == signal.SIGKILL:
                process.wait()
                assert_nothing_left(sweep)
            else:
                one.notes.append(f"ended after {assert_interrupted(sweep, process, number):.1f} s")
        last = sweep.begin() if again else sweep.resume()
        must(last.wait() == 0, f"it did not go on: {last.said}")
        assert_whole(sweep, one.oracle)


def trial_killed(one: Round) -> None:
    """A trial's process is killed, and the trial goes on from its checkpoint."""
    with one.sweep() as sweep:
        process = sweep.begin()
        number, reading = one.random.randrange(TRIALS), one.random.randrange(MILESTONES)
        kill_trial(sweep, number, reading)
        one.notes.append(f"trial {number} after {reading} scores")
        must(process.wait() == 0, f"the sweep failed: {process.said}")
        attempts = {number: trial.attempts for number, trial in sweep.trials.items()}
        must(attempts == {other: 1 + (other == number) for other in range(TRIALS)}, f"attempts: {attempts}")
        assert_whole(sweep, one.oracle)


def trial_killed_too_often(one: Round) -> None:
    """A trial's process is killed once more than the sweep tries again; the others are unharmed."""
    with one.sweep() as sweep:
        process = sweep.begin("sweep.retries=1")
        number = one.random.randrange(TRIALS)
        for _ in range(2):
            kill_trial(sweep, number, one.random.randrange(MILESTONES))
        one.notes.append(f"trial {number}")
        status = process.wait()
        must(status == 101, f"exit status {status}: {process.said}")
        assert_whole(sweep, one.oracle, failed=[number])


def node_killed(one: Round) -> None:
    """A node of two goes off; the sweep ends on the other."""
    # Not below the folder: paths of Ray's sockets are at most 107 bytes long.
    cluster = RayCluster(Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))
    try:
        for _ in range(2):
            cluster.add_node()
        with one.sweep() as sweep:
            process = sweep.begin_on(cluster)
            one.wait_for_a_moment(sweep, process, "trying")
            caught = kill_node(sweep, cluster.nodes[1])
            one.notes.append(f"trials {caught} were there")
            must(process.wait() == 0, f"the sweep failed: {process.said}")
            again = [number for number, trial in sweep.trials.items() if trial.attempts > 1]
            must(again == caught, f"trials {again} were begun again, not {caught}")
            assert_whole(sweep, one.oracle)
    finally:
        cluster.close()


def server_returns(one: Round) -> None:
    """The MLflow server goes away for some seconds."""
    with Server(one.folder / "server") as server, one.sweep(server) as sweep:
        process = sweep.begin()
        one.wait_for_a_moment(sweep, process, "trying")
        server.kill()
        away = one.random.uniform(0, LONGEST_ABSENCE_SECONDS)
        one.notes.append(f"for {away:.0f} s and its start")
        time.sleep(away)
        server.start()
        must(process.wait() == 0, f"the sweep failed: {process.said}")
        assert_whole(sweep, one.oracle)


def server_gone(one: Round) -> None:
    """The MLflow server goes away for good; the sweep ends, and is brought over when it is back."""
    with Server(one.folder / "server") as server, one.sweep(server) as sweep:
        process = sweep.begin()
        one.wait_for_a_moment(sweep, process, "trying")
        server.kill()
        status = process.wait()
        must(status == 1, f"exit status {status}: {process.said}")
        must("--resume" in process.said, f"it does not say how to go on: {process.said}")
        must(sweep.is_through, "trials or the report are missing")
        assert_nothing_left(sweep)
        server.start()
        last = sweep.resume()
        must(last.wait() == 0, f"it did not go on: {last.said}")
        assert_whole(sweep, one.oracle)


def driver_and_server(one: Round) -> None:
    """The driver is killed while the server is away."""
    with Server(one.folder / "server") as server, one.sweep(server) as sweep:
        process = sweep.begin()
        one.wait_for_a_moment(sweep, process, "trying")
        server.kill()
        one.wait_for_a_moment(sweep, process, "trying", "concluding")
        if not process.ended:
            process.kill(signal.SIGKILL)
        process.wait()
        assert_nothing_left(sweep)
        server.start()
        last = sweep.resume()
        must(last.wait() == 0, f"it did not go on: {last.said}")
        assert_whole(sweep, one.oracle)


SCENARIOS: dict[str, Callable[[Round], None]] = {
    **{f"driver {number.name}": partial(driver, number) for number in SIGNALS},
    "driver Ctrl-C": partial(driver, signal.SIGINT, group=True),
    "driver same command": partial(driver, signal.SIGKILL, again=True),
    "driver thrice": partial(driver, signal.SIGKILL, kills=3),
    "trial": trial_killed,
    "trial too often": trial_killed_too_often,
    "node": node_killed,
    "server returns": server_returns,
    "server gone": server_gone,
    "driver and server": driver_and_server,
}


def main() -> None:
    """Play the rounds and print a line of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each scenario")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the others count on from it")
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS)
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sweep-kills-"))
    (folder / "oracle").mkdir()
    file = write_config(folder)
    with SmallSweep(file, folder / "oracle" / "sweep") as undisturbed:
        oracle = Oracle.of(undisturbed)
    print(f"undisturbed: {oracle.moments[-1]:.0f} s", flush=True)
    violations = 0
    rounds = [
        (seed, name)
        for seed in range(arguments.seed, arguments.seed + arguments.rounds)
        for name in arguments.only or SCENARIOS
    ]
    started = time.monotonic()
    for seed, name in rounds:
        place = folder / f"{name.replace(' ', '-')}-{seed}"
        place.mkdir()
        one = Round(seed, random.Random(f"{name} {seed}"), file, place, oracle)
        began = time.monotonic()
        try:
            SCENARIOS[name](one)
            verdict = "whole"
            shutil.rmtree(place)
        except Exception as error:  # whatever it is, the other rounds are played
            violations += 1
            verdict = f"VIOLATION ({error}), see {place}"
            (place / "traceback.txt").write_text(traceback.format_exc())
        seconds = time.monotonic() - began
        print(f"seed {seed}  {name:<20} {'; '.join(one.notes)}  {verdict}  {seconds:.0f} s", flush=True)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{len(rounds)} rounds, {violations} violations, {minutes:.0f} min; a round again: "
        "--only SCENARIO --rounds 1 --seed SEED"
    )
    if violations:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
