"""A task: where its labels are and how it is scored."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator, model_validator

from madx.config import PLACE, Frozen, InputError, validate

SCHEME_LETTERS = frozenset("BIESLU")  # before a hyphen and an entity's type


def _in_iob2(labels: tuple[str, ...]) -> tuple[str, ...]:
    """A label set of entities in any scheme, as the labels of IOB2 in the same order; any other set as it is."""
    marked = [label.partition("-") for label in labels if label != "O"]
    if len(marked) == len(labels) or not all(letter in SCHEME_LETTERS and kind for letter, _, kind in marked):
        return labels
    known = set(labels)
    new: list[str] = []
    for label in labels:
        letter, _, kind = label.partition("-")
        if label == "O" or (letter == "B" and f"I-{kind}" in known):
            new.append(label)
        elif letter in "ESLU":
            new += [f"B-{kind}", f"I-{kind}"]
        else:  # IOB1 may list I- alone
            new += [f"B-{kind}", label] if letter == "I" else [label]
    return tuple(dict.fromkeys(new))


class Columns(Frozen):
    """Names of the columns in TSV, JSON lines and Hub data."""

    text: str = "text"  # of the text, or of a sentence's words
    pair: str | None = None  # of a second text
    label: str = "label"  # of its label or labels


class HubData(Frozen):
    """The data set of a task on the Hub; `config` is a language's."""

    dataset: str  # OWNER/NAME
    config: str | None = None  # where no language says its own
    revision: str | None = None  # a commit, branch or tag
    columns: Columns | None = None  # where they are not called as in the files


class Splits(Frozen):
    """The labelled data of one language: files under --data, and the same on the Hub."""

    train: tuple[str, ...] = ()  # files; one may stand without brackets
    dev: tuple[str, ...] = ()  # the source's, by which a checkpoint is chosen
    test: tuple[str, ...] = ()  # what is scored
    hub: str | None = None  # the configuration of the task's Hub data set


class TaskSpec(Frozen):
    """`tasks/NAME.toml`."""

    name: str  # by which recipes call it
    description: Annotated[str, PLACE] = ""  # a line for people
    kind: str  # see below
    metric: str  # the primary one; see below
    labels: tuple[str, ...] = ()  # all of them; of entities in any scheme; kept in IOB2
    outside: tuple[str, ...] = ()  # entity types that are read as O
    read_as: dict[str, str] = {}  # other labels (STTS's NN), or other types of entities, that are labels of the task
    label_column: int | None = None  # tagging: which column (from 0) holds the label; none: the one that fits
    columns: Columns = Columns()  # of tables, by name
    images: Annotated[tuple[str, ...], PLACE] = ()  # retrieval: .safetensors files, a vector for each image by name
    image_digests: tuple[str, ...] = ()  # of what they hold, once they are found
    source: Annotated[str, PLACE] = "eng"  # the language that has labels to train on
    licence: Annotated[str, PLACE] = ""  # of the labels
    noncommercial: Annotated[tuple[str, ...], PLACE] = ()  # languages whose labels are so
    hub: Annotated[HubData | None, PLACE] = None
    data: Annotated[dict[str, Splits], PLACE] = {}

    @model_validator(mode="after")
    def _labels_differ(self) -> "TaskSpec":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        return self

    @field_validator("labels")
    @classmethod
    def _labels_in_iob2(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        return labels if len(set(labels)) != len(labels) else _in_iob2(labels)

    @model_validator(mode="after")
    def _read_as_labels(self) -> "TaskSpec":
        types = {label.partition("-")[2] for label in self.labels}
        for label, meant in self.read_as.items():
            if meant not in self.labels and meant not in types - {""}:
                raise ValueError(f"read_as: '{label}' is '{meant}', which is no label of the task")
        return self

    def own_label(self, label: str) -> str:
        """What the task calls a label of its data: see `read_as`."""
        letter, _, kind = label.partition("-")
        if label not in self.read_as and letter in SCHEME_LETTERS and kind in self.read_as:
            return f"{letter}-{self.read_as[kind]}"
        return self.read_as.get(label, label)

    def hub_data(self, language: str) -> HubData | None:
        config = self.data[language].hub
        return self.hub.model_copy(update={"config": config}) if self.hub and config else None

    def test_languages(self) -> list[str]:
        return [code for code, splits in self.data.items() if splits.test or splits.hub]


def read_task(path: Path, data: dict[str, Any]) -> TaskSpec:
    tables = data.get("data", {})
    if not isinstance(tables, dict):
        raise InputError(f"{path}: key 'data' must be a table")
    plain = {}
    for code, splits in tables.items():
        if not isinstance(splits, dict):
            raise InputError(f"{path}: key 'data.{code}' must be a table")
        # one path or a list of them
        plain[code] = {k: [v] if k in ("train", "dev", "test") and isinstance(v, str) else v for k, v in splits.items()}
    return validate(TaskSpec, {**data, "name": path.stem, "data": plain}, str(path))
