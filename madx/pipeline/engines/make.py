"""One step, by whoever has claimed it."""

from __future__ import annotations

import time
from pathlib import Path

from madx.config import InputError, RunError
from madx.device import name_of, peak_memory, reset_peak_memory
from madx.pipeline.engines.running import noted
from madx.stages.session import Session
from madx.step import Result, Step
from madx.writing import io_errors


def make_step(step: Step, folder: Path, session: Session) -> None:
    """Into the claimed `folder`. Raises InputError or RunError."""
    with noted(folder, session):
        result = _run(step, folder, session)
    session.store.finish(step.name, result)


def _run(step: Step, folder: Path, session: Session) -> Result:
    began = time.perf_counter()
    reset_peak_memory(session.device)
    try:
        with io_errors(folder):
            result = step.run(folder, session)
    except RuntimeError as error:
        if "inline_container" not in str(error):  # torch's way to say that a file can't be written
            raise
        raise RunError(f"{folder}: a file cannot be written: is the disk full? Make room and run it again") from error
    except InputError as error:
        if str(session.store.root) not in str(error):
            raise
        raise RunError(str(error)) from error  # what another step has left is nobody's input
    # a resumed step has trained for longer than this process has
    seconds = max(time.perf_counter() - began, result.get("training_seconds", 0.0))
    return {
        "seconds": round(seconds, 2), "result": result, "memory_mb": peak_memory(session.device) >> 20,
        "device": name_of(session.device),
    }  # fmt: skip
