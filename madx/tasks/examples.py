"""Labelled examples as every kind of task reads them. No torch: a report needs their metrics alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from madx.catalog.task import HubData
from madx.config import InputError, nearest
from madx.corpora.hub import HubSplit, NoSplit
from madx.corpora.tables import Row, label_of, some


class Example(NamedTuple):
    """`inputs` and `gold` are the kind's: words and labels, text(s) and label, ..."""

    id: str
    inputs: Any
    gold: Any


class Contents(NamedTuple):
    """How much there is of what, and how often each label is seen."""

    sizes: dict[str, int]
    labels: Counter[str]


class Feature(NamedTuple):
    """What the encoder reads of an example: one sequence, or one per choice. Long examples have several features."""

    sequences: tuple[tuple[int, ...], ...]
    types: tuple[tuple[int, ...], ...] | None  # segment ids of pairs, for encoders that have them
    target: Any
    example: int
    extra: Any = None

    @property
    def length(self) -> int:
        return max(map(len, self.sequences))


class Said(NamedTuple):
    """What a head says of a data set, decoded."""

    examples: Sequence[Example]
    features: Sequence[Feature]
    decoded: Sequence[Any]


class Calibration(NamedTuple):
    """What of a head isn't learnt but chosen on dev sets. `choose(head, said of each)` tells what there is to say."""

    needed: Callable[[Sequence[Example]], bool]  # having learnt from these
    choose: Callable[[Any, Sequence[Said]], list[str]]


class UnknownLabel(InputError):
    """Data have a label that the task hasn't."""


def check_label(label: str, labels: Sequence[str], where: str, hint: str = "") -> str:
    """`hint`: what else may be wrong than this label. Raises UnknownLabel."""
    if label not in labels:
        near = nearest(label, list(labels))
        known = f" The set: {some(labels)}." if near.endswith("?") else "."
        more = f" {hint}" if hint else ""
        raise UnknownLabel(
            f"{where}: label '{label[:40]}' is not in the task's set{near}{known} "
            f"Other tags are another task, tasks/NAME.toml, which lists them; or its [read_as] says what each is.{more}"
        )
    return label


class Reading(NamedTuple):
    """What was read of a file or a Hub data set, and what of it is no example."""

    examples: list[Example]
    layout: str  # what it was recognised as: its format, its columns, its tag scheme
    skipped: Counter[str] = Counter()


def labelled(
    row: Row, column: str, labels: Sequence[str], where: str, own: Callable[[str], str] = lambda label: label
) -> str:
    """The label of a row of a table; `own`: what the task calls it. Raises InputError."""
    label = own(label_of(row, column, where))
    if label == "-1" and label not in labels:
        raise InputError(f"{where}: label -1 marks examples whose labels are not published; take another split")
    return check_label(label, labels, where)


def hub_rows(hub: HubData, split: str) -> tuple[Any, Iterator[tuple[str, Row]]]:
    """Features of a Hub data set, and where and what its rows are. `dev` is looked for under its other name too."""
    names = {"dev": ["validation", "dev"]}.get(split, [split])
    for name in names:
        with suppress(NoSplit):
            source = HubSplit(hub.dataset, hub.config, name, hub.revision)
            features, rows = source.load()
            return features, ((f"{source}, row {i}", row) for i, row in enumerate(rows, 1))
    raise InputError(f"Hub dataset {hub.dataset} ({hub.config}): no split {' or '.join(names)}")


def named(features: Any, column: str, value: Any) -> Any:
    """A value of a Hub data set's column; the name of a label that is a number there."""
    feature = features[column]
    feature = getattr(feature, "feature", feature)  # a list's
    if hasattr(feature, "int2str") and isinstance(value, int) and value >= 0:
        return feature.int2str(value)
    return value


def of_all_words(
    examples: Sequence[Example], features: Sequence[Feature], values: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Values of the words of features, as those of whole examples; `Feature.extra[1]` is a feature's first word."""
    found: list[list[float]] = [[] for _ in examples]
    for feature, those in sorted(zip(features, values, strict=True), key=lambda pair: pair[0].extra[1]):
        found[feature.example] += those
    return found
