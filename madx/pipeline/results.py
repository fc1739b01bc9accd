"""What a run has left, for Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from madx.config import InputError
from madx.stages.predictions import predictions_path, read_predictions
from madx.writing import read_json


@dataclass(frozen=True, init=False)
class Results:
    """A run's folder, read when it is asked for. Raises InputError where a file of a run isn't there."""

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        object.__setattr__(self, "folder", Path(folder))

    def _file(self, name: str) -> Path:
        if not (self.folder / name).is_file():
            raise InputError(f"{self.folder}: no {name} there; a run's folder is wanted, such as results/NAME")
        return self.folder / name

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each cell and metric, in percent: task, metric, method, target, seed, value, ci_low, ci_high."""
        return pd.read_csv(self._file("scores.csv"))

    @property
    def differences(self) -> pd.DataFrame:
        """Each two methods, method - baseline, in percentage points, paired over seeds and sentences."""
        return pd.read_csv(self._file("differences.csv"))

    @property
    def about(self) -> dict[str, Any]:
        """run.json: versions, host, digests of every input, seconds and memory of every step."""
        about: dict[str, Any] = read_json(self._file("run.json"))
        return about

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    def predictions(self, task: str, method: str, target: str, seed: int) -> pd.DataFrame:
        """Id, gold and predicted value of every test example. Raises InputError where there is no such cell."""
        path = predictions_path(self.folder, task, method, target, seed)
        if not path.exists():
            raise InputError(f"{path}: no such cell in this run")
        return pd.DataFrame(read_predictions(path)._asdict())
