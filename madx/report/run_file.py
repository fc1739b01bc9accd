"""run.json as a report reads it: a run's here, or one that somebody sent. Keys that it doesn't know are passed over."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from madx.config import InputError
from madx.foreign import Line, Name, parse_json, read_small

LARGEST = 64 << 20  # bytes
Share = Annotated[float, Field(ge=0, le=1e12)]


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Model(_Known):
    name: Line


class Host(_Known):
    python: Line
    machine: Line


class TaskOf(_Known):
    """What is needed to score a task's predictions again."""

    kind: Line
    metric: Line
    labels: list[str]
    unspaced: list[Name] = []


class CellOf(_Known):
    """A method, with a seed, on a target. Where its predictions lie follows from these."""

    task: Name
    method: Name
    target: Name
    seed: int = Field(ge=0, lt=1 << 63)
    adapters: list[Name] = []


class Unlabelled(_Known):
    """A target without a test set: what can be said of it without one."""

    task: Name
    target: Name
    held_out_before: Share
    held_out_after: Share
    tokens: int
    unknown_rate: Share
    subwords_per_word: Share


class StepOf(_Known):
    """What a step reported."""

    seconds: Share
    trained: Line | None = None
    held_out_before: Share | None = None
    held_out_after: Share | None = None
    tokens: int | None = None
    aligned_with: Line | None = None


class RunFile(_Known):
    name: Name
    model: Model
    source: Name  # languages, joined by +
    bootstrap: int = Field(ge=0, le=100_000)  # as in a recipe
    tasks: dict[Name, TaskOf]
    cells: list[CellOf]
    unlabelled: list[Unlabelled] = []
    steps: dict[Name, StepOf] = {}
    host: Host
    versions: dict[str, Line]


def read_run(folder: Path) -> RunFile:
    """A run's run.json. Raises InputError that names the key."""
    path = folder / "run.json"
    try:
        run = RunFile.model_validate(parse_json(read_small(path, LARGEST), path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(repr(str(part))[1:-1][:60] for part in first["loc"])
        raise InputError(f"{path}: key '{key}': {first['msg'].removeprefix('Value error, ')}") from None
    for number, cell in enumerate(run.cells):
        if cell.task not in run.tasks:
            raise InputError(f"{path}: key 'cells.{number}.task': there is no task '{cell.task}' in 'tasks'")
    return run
