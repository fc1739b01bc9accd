"""Frozen values as lines of a CSV file, a column per field."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from madx.config import Frozen, InputError
from madx.store import write_text

Row = TypeVar("Row", bound=Frozen)


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(kind.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row.model_dump())
    write_text(path, buffer.getvalue())


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Raises InputError with file:line."""
    if not path.exists():
        raise InputError(f"{path}: no such file; a run writes it")
    with open(path, encoding="utf-8", newline="") as file:
        rows = []
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                rows.append(kind.model_validate(row))
            except ValueError as error:
                raise InputError(f"{path}:{number}: {str(error).splitlines()[1].strip()}") from None
        return rows
