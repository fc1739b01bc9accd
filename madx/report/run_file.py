"""run.json as a report reads it: a run's here, or one that somebody sent. Keys that it doesn't know are passed over."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from madx.config import InputError
from madx.corpora.contamination import Contamination
from madx.corpora.health import Health
from madx.foreign import Line, Name, parse_json, read_small

LARGEST = 64 << 20  # bytes
Share = Annotated[float, Field(ge=0, le=1e12)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Model(_Known):
    name: Line


class Host(_Known):
    python: Line
    machine: Line
    device: Line = ""


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


class LanguageOf(_Known):
    """What the catalogue says of a language."""

    name: Line
    script: Line = ""
    family: list[Line] = []
    seen: bool | None = None  # by the encoder in its pretraining; none: not known


class StepOf(_Known):
    """What a step reported."""

    seconds: Share
    trained: Line | None = None
    held_out_before: Share | None = None
    held_out_after: Share | None = None
    tokens: int | None = None
    aligned_with: Line | None = None
    memory_mb: Share | None = None
    device: Line | None = None  # where its figures were taken; None: not known
    tokens_per_s: Share | None = None
    dev: Share | None = None  # score on the source's dev set, of what was kept
    parameters: int | None = None  # trained, and kept
    bytes: int | None = None


class Source(_Known):
    """Where text or labels come from."""

    name: Line
    licence: Line


class TextOf(_Known):
    """The text that a language's adapters were trained on, as the encoder's tokenizer writes it."""

    tokens: int
    unknown_rate: Share
    subwords_per_word: Share
    sources: list[Source] = []


class TestOf(_Known):
    """A test set: what the tokenizer makes of it, and how much of it stands in training text."""

    task: Name
    target: Name
    health: Health
    contamination: Contamination


class FailedCell(_Known):
    """What couldn't be made, though the run went on."""

    task: Name
    method: Name
    target: Name
    seed: int
    why: Line


class RunFile(_Known):
    name: Name
    model: Model
    source: Name  # languages, joined by +
    bootstrap: int = Field(ge=0, le=100_000)  # as in a recipe
    tasks: dict[Name, TaskOf]
    cells: list[CellOf]
    failed: list[FailedCell] = []
    unlabelled: list[Unlabelled] = []
    methods: list[Name] = []
    legend: dict[Name, Line] = {}  # methods in words
    settings: dict[Name, Line] = {}  # the recipe's numbers
    languages: dict[Name, LanguageOf] = {}
    texts: dict[Name, TextOf] = {}
    tests: list[TestOf] = []
    licences: dict[Name, Source] = {}  # of the tasks' labels
    curves: dict[Name, list[Point]] = {}  # of the steps' training losses
    steps: dict[Name, StepOf] = {}
    host: Host
    versions: dict[str, Line]

    @property
    def sources(self) -> list[str]:
        return self.source.split("+")

    @property
    def devices(self) -> str:
        """Where its steps were made; where they don't say, on the device that the run ended on."""
        ended = self.host.device or self.host.machine
        return ", ".join(dict.fromkeys([step.device or ended for step in self.steps.values()])) or ended

    def called(self, code: str) -> str:
        """A language's name; its code where that is all that is known."""
        return self.languages[code].name if code in self.languages else code

    def pretraining(self, code: str) -> str | None:
        """`seen` or `unseen` by the encoder there; None: of a mean, or not known."""
        seen = self.languages[code].seen if code in self.languages else None
        return None if seen is None else "seen" if seen else "unseen"

    def labels(self, code: str) -> list[str]:
        """The groups that a target belongs to; see `madx.scores.levels.groups_of`."""
        labels = [pretraining] if (pretraining := self.pretraining(code)) else []
        if about := self.languages.get(code):
            labels += [f"family {family}" for family in about.family]
            labels += [f"script {about.script}"] if about.script else []
        if text := self.texts.get(code):
            labels.append(next((name for most, name in AMOUNTS if text.tokens < most), "text over 1M tokens"))
        elif self.texts and code not in self.sources:
            labels.append("languages without text")
        return labels


AMOUNTS = ((100_000, "text under 100k tokens"), (1_000_000, "text of 100k to 1M tokens"))


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
