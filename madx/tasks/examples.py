"""Labelled examples as every kind of task reads them. No torch: a report needs their metrics alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from madx.catalog.task import HubData
from madx.config import InputError, first_line, nearest
from madx.corpora.documents import read_lines


class Example(NamedTuple):
    """`inputs` and `gold` are the kind's: words and labels, text(s) and label, ..."""

    id: str
    inputs: Any
    gold: Any


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


def check_label(label: str, labels: Sequence[str], where: str) -> str:
    if label not in labels:
        raise InputError(f"{where}: label '{label}' is not in the task's set{nearest(label, list(labels))}")
    return label


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, row) of a TSV with a header or a JSON-lines file. Raises InputError for a missing column."""
    header: list[str] | None = None
    as_json = path.name.endswith((".jsonl", ".jsonl.gz"))
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        if as_json:
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{where}: not JSON: {error}") from None
            missing = [c for c in columns if not isinstance(row, dict) or c not in row]
        elif header is None:
            header = line.lstrip("\ufeff").split("\t")
            if lacking := [c for c in columns if c not in header]:
                raise InputError(f"{where}: no column '{lacking[0]}'; the header has: {', '.join(header)}")
            continue
        else:
            fields = next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE))
            row = dict(zip(header, fields, strict=False))
            missing = [c for c in columns if c not in row]
        if missing:
            raise InputError(f"{where}: column '{missing[0]}' is missing")
        yield where, row


def hub_rows(hub: HubData, split: str) -> tuple[Any, Iterator[dict[str, Any]]]:
    """Features and rows of a Hub data set. `dev` is looked for under its other name too."""
    import datasets

    names = {"dev": ["validation", "dev"]}.get(split, [split])
    for name in names:
        try:
            loaded = datasets.load_dataset(hub.dataset, hub.config, split=name, revision=hub.revision)
            return loaded.features, iter(loaded)
        except ValueError:
            continue
        except Exception as error:
            raise InputError(f"Hub data set {hub.dataset} ({hub.config}): {first_line(error)}") from None
    raise InputError(f"Hub data set {hub.dataset} ({hub.config}): no split {' or '.join(names)}")


def label_name(features: Any, column: str, value: Any) -> str:
    feature = features[column]
    feature = getattr(feature, "feature", feature)  # a list's
    return feature.int2str(value) if hasattr(feature, "int2str") and isinstance(value, int) else str(value)
