"""log.jsonl: a training's numbers, a line every few updates; to a tracker too where a recipe asks for one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from madx.config import named

LOG = "log.jsonl"


class Log:
    """The log of a training that begins, or goes on, at `step`: what was logged beyond it is logged again."""

    def __init__(self, folder: Path, step: int, trackers: Sequence[str], settings: Mapping[str, object]) -> None:
        self._path = folder / LOG
        with named(self._path):
            before = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if self._path.exists() else []
            kept = [line for line in before if line.endswith("\n") and json.loads(line)["step"] <= step] if step else []
            self._path.write_text("".join(kept), encoding="utf-8")
        self._tracker = None
        if trackers:
            from accelerate import Accelerator  # its trackers alone

            self._tracker = Accelerator(cpu=True, log_with=list(trackers), project_dir=folder)
            self._tracker.init_trackers("madx", config=dict(settings))

    def write(self, record: Mapping[str, float]) -> None:
        with named(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._tracker:
            self._tracker.log({k: v for k, v in record.items() if k != "step"}, step=int(record["step"]))

    def close(self) -> None:
        if self._tracker:
            self._tracker.end_training()
