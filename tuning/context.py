"""What a trial of a sweep is given, and the run that it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echopair.pipeline.config import RunConfig, validated
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import Done, read_done
from echopair.tuning.config import SweepSettings
from echopair.tuning.trials import Trial


@dataclass(frozen=True)
class TrialContext:
    """What every trial of a sweep is given.

    Args:
        clips: folders of the prepared clips, by sample rate and corpus.
        steps: what a budget in minutes was found to be; None for budgets that are exact.
    """

    settings: SweepSettings
    clips: Mapping[int, Mapping[str, Path]]
    folder: Path
    steps: int | None
    threads: int

    def run_of(self, number: int, lineage: Sequence[Mapping[str, Any]]) -> RunConfig:
        """The run that a trial is; `echopair run` of it gives the trial's score again.

        Args:
            lineage: values and from which step on they hold, [{"step": 0, "values": {...}}, ...].

        Raises:
            UserError: values that do not go together.
        """
        first, *changes = lineage
        run = self.settings.values_of(first["values"])
        run["run_name"] = f"{self.settings.sweep.sweep_name}-{number}"
        run["threads"] = self.threads
        run["probe"] = {**run["probe"], "test_split": True}
        if run["pretrain"]["minutes"] is not None:
            run["pretrain"] = {**run["pretrain"], "minutes": None, "steps": self.steps}
        if changes:
            run["pretrain"] = {**run["pretrain"], "schedule": changes}
        return validated(run)

    def config_of(self, trial: Trial) -> RunConfig:
        """The run that a trial is, by what is known of it."""
        return self.run_of(trial.number, trial.lineage or [{"step": 0, "values": trial.values}])

    def clips_of(self, config: RunConfig) -> dict[str, Done]:
        """The prepared clips that a trial reads.

        Raises:
            UserError: they are no longer there.
        """
        clips = {}
        for corpus, folder in self.clips[config.log_mel.sample_rate_hz].items():
            done = read_done(folder)
            if done is None:
                raise UserError(
                    f"{folder} no longer holds the clips of corpus {corpus!r}; start the sweep again"
                )
            clips[corpus] = done
        return clips
