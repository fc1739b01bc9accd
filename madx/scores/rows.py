"""Frozen values as lines of a CSV file, a column per field."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from madx.config import Frozen, InputError
from madx.writing import write_text

Row = TypeVar("Row", bound=Frozen)


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(kind.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _quoted(value) for name, value in row.model_dump().items()})
    write_text(path, buffer.getvalue())


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Raises InputError with file:line."""
    if not path.exists():
        raise InputError(f"{path}: no such file; a run writes it")
    with open(path, encoding="utf-8", newline="") as file:
        rows = []
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                rows.append(kind.model_validate({name: _unquoted(value) for name, value in row.items()}))
            except ValueError as error:
                raise InputError(f"{path}:{number}: {str(error).splitlines()[1].strip()}") from None
        return rows


COMPUTES = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet takes for a formula, or what was quoted because of that


def _quoted(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and COMPUTES.match(value) else value


def _unquoted(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value[:1] == "'" and COMPUTES.match(value) else value
