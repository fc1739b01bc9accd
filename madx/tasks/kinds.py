"""The kinds of task, by the name that a task's file uses: one module each, and a line in the table below.

A module is a `Kind`: a task's features, head, loss, gold labels, metrics, reading and saving. None imports torch before
it computes: a report asks for metrics alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError, nearest
from madx.corpora.tables import Row
from madx.tasks import classification, multiple_choice, parsing, question_answering, retrieval, tagging
from madx.tasks.examples import Calibration, Contents, Example, Feature, Reading
from madx.tasks.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.encoders.encoder import Encoder
    from madx.encoders.sites import Positions
    from madx.tasks.batches import Batch, Tokens


class Kind(Protocol):
    """What `Example.inputs`, gold and predicted values are is the kind's own; the last two are plain JSON values."""

    @property
    def METRICS(self) -> tuple[str, ...]:
        """What may be a task's primary metric."""

    @property
    def COLUMNS(self) -> tuple[str, ...]:
        """What a prediction is made of, as the columns of a file are called."""

    @property
    def OF_CLASSES(self) -> bool:
        """Whether every answer is a class by itself; `decisions` is then one tensor, which may stand for the head's."""

    @property
    def OF_WORDS(self) -> bool:
        """Whether every word has a prediction, and inputs are a sentence's words; else a row of a table has one."""

    @property
    def OF_IMAGES(self) -> bool:
        """Whether texts are matched with the task's images; each is told from the others of its batch, which is then
        computed whole in training.
        """

    @property
    def CALIBRATION(self) -> Calibration | None:
        """What is chosen on the dev sets, once a head is trained; None: nothing."""

    # ------------------------------------------------------------------------------------------------ reading

    def check(self, spec: TaskSpec, /) -> None:
        """Whether the task's labels make sense for it. Raises ValueError with the reason."""

    def read(self, path: Path, spec: TaskSpec, /) -> Reading:
        """A file's labelled examples. Raises InputError with file:line."""

    def read_hub(self, hub: HubData, split: str, spec: TaskSpec, /) -> Reading:
        """The same of a Hub data set."""

    def contents(self, examples: Sequence[Example], /) -> Contents:
        """How much labelled examples hold, and their labels."""

    def plain_columns(self, spec: TaskSpec, /) -> tuple[str, ...]:
        """What a row without labels must have."""

    def plain(self, row: Row, spec: TaskSpec, where: str, /) -> Any:
        """`Example.inputs` of a row without labels. Raises InputError."""

    def fields(self, predicted: Any, /) -> list[tuple[Any, ...]]:
        """A prediction as values for `COLUMNS`: of each word, or of the row."""

    # ------------------------------------------------------------------------------------- computing

    def features(self, examples: Sequence[Example], tokens: Tokens, spec: TaskSpec, /) -> list[Feature]:
        """What the encoder reads; nothing that is scored is cut off."""

    def targets(self, feature: Feature, /) -> int:
        """How many terms its loss sums over."""

    def classes(self, feature: Feature, /) -> Iterable[Hashable]:
        """The targets that are classes, from whose frequencies the loss of guessing follows; none: not so simple."""

    def head(self, spec: TaskSpec, width: int, /) -> nn.Module:
        """A new head."""

    def read_positions(self, batch: Batch, /) -> Positions | None:
        """Where the encoder is read: rows and columns; None: everywhere. Loss and decoding get the states there."""

    def summed_loss(self, head: nn.Module, states: Tensor, batch: Batch, /) -> Tensor:
        """The batch's loss, summed over `targets`; states (M, D), or (B, T, D)."""

    def decode(self, head: nn.Module, states: Tensor, batch: Batch, /) -> list[Any]:
        """What the head says of each feature."""

    def entropy(self, head: nn.Module, states: Tensor, batch: Batch, /) -> Tensor:
        """Nats, of what the head says, averaged over what it decides on."""

    def decisions(self, head: nn.Module, states: Tensor, batch: Batch, /) -> list[Tensor]:
        """The logits whose cross-entropy with the targets is `summed_loss`, (N, C) each."""

    def join(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec, /
    ) -> list[Any]:
        """Decoded features to one prediction an example."""

    def confidence(self, head: nn.Module, states: Tensor, batch: Batch, /) -> list[Any]:
        """How sure the head is of each feature, for `explain`."""

    def explain(
        self,
        examples: Sequence[Example],
        features: Sequence[Feature],
        decoded: Sequence[Any],
        confidence: Sequence[Any],
        spec: TaskSpec,
        /,
    ) -> list[dict[str, Any]]:
        """What is told beside each prediction: its `probability`, or `probabilities` of words or of all labels."""

    # ------------------------------------------------------------------------------------- scoring and saving

    def texts(self, example: Example, /) -> list[str]:
        """What of it may stand in other text: to look for test examples in training text."""

    def gold(self, example: Example, /) -> Any:
        """What a prediction is compared with."""

    def labels_of(self, gold: Any, predicted: Any, /) -> Iterable[tuple[str, str]]:
        """Gold and predicted label of every word or example; none where answers are no labels."""

    def metrics(
        self, primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = (), /
    ) -> list[Metric]:
        """The primary one first. `gold`: what all predictions are compared with, where a definition hangs on it."""

    def save_head(self, folder: Path, encoder: Encoder, head: Any, name: str, /) -> None:
        """Write a head beside its adapter."""

    def load_head(self, folder: Path, encoder: Encoder, /) -> tuple[str, nn.Module]:
        """A head that was saved, and its name. Raises InputError."""


KINDS: dict[str, Kind] = {
    "tagging": tagging,
    "classification": classification,
    "multiple-choice": multiple_choice,
    "question-answering": question_answering,
    "parsing": parsing,
    "retrieval": retrieval,
}


def kind_named(name: str, where: str) -> Kind:
    """Raises InputError for a name that there isn't."""
    if name not in KINDS:
        raise InputError(f"{where}: key 'kind': no kind of task is called '{name}'{nearest(name, list(KINDS))}")
    return KINDS[name]


def kind_of(task: TaskSpec) -> Kind:
    """A task's kind. Raises InputError where the kind has no such metric, or can't work with such labels."""
    where = f"tasks/{task.name}.toml"
    kind = kind_named(task.kind, where)
    if task.metric not in kind.METRICS:
        known = ", ".join(kind.METRICS)
        raise InputError(f"{where}: key 'metric': a {task.kind} task has {known}, not '{task.metric}'")
    if task.images and not kind.OF_IMAGES:
        raise InputError(f"{where}: key 'images': a {task.kind} task has none")
    try:
        kind.check(task)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return kind
