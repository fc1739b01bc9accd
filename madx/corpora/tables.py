"""Rows of a table: TSV and CSV with a header, JSON lines, JSON, parquet. One reader for labels and for running text.

A quotation mark in a TSV file may be a letter like any other, or be set as pandas and Excel set it: around fields with
a tab, a line break or a quotation mark inside. Which of the two a file does is told by all of it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import InputError, first_line
from madx.corpora.lines import Source, read_lines, read_whole, suffix_of

Row = dict[str, Any]  # plain JSON values
Rows = Iterator[tuple[str, Row]]  # `file:line` and row
JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".tsv", ".csv", ".json", ".parquet", *JSON_LINES)
_NAMES = {
    bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object",
}  # fmt: skip
_MOST_LINES = 10_000  # that one quoted field may run over


def read_rows(path: Path, columns: Sequence[str]) -> Rows:
    """(`file:line`, row). What isn't named as one of the formats is a TSV file.

    Raises InputError with file:line for a missing column, a field too many or too few, and what is not JSON.
    """
    suffix = suffix_of(path)
    if suffix == ".parquet":
        rows = _parquet(path, columns)
    elif suffix in JSON_LINES:
        rows = _json_lines(path)
    elif suffix == ".json":
        rows = _json(path)
    else:
        rows = delimited(path, delimiter_of(path), columns)
    for where, row in rows:
        require(row, columns, where)
        yield where, row


def require(row: Row, columns: Sequence[str], where: str) -> None:
    """Raises InputError where a row lacks a column."""
    if lacking := [c for c in columns if c not in row]:
        raise InputError(f"{where}: column '{lacking[0]}' is missing; there are: {some(row)}")


def text_of(row: Row, column: str, where: str) -> str:
    """A column that must be a text. Raises InputError: null is no text, nor is a number."""
    value = row[column]
    if isinstance(value, str):
        return value
    if value is None:
        raise InputError(f"{where}: column '{column}' is null; leave such rows out, or give them a text")
    raise InputError(f"{where}: column '{column}' holds {_what(value)}, not a text")


def label_of(row: Row, column: str, where: str) -> str:
    """A column that must be a label: a text, or a whole number as a text. Raises InputError."""
    value = row[column]
    if isinstance(value, float) and value.is_integer():  # pandas, where a column had gaps
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, float) and value != value):
        raise InputError(f"{where}: no label: column '{column}' is null; leave out what has no label")
    return text_of(row, column, where)


def load_json(text: str, where: str) -> Any:
    """A JSON value whose texts can be written down again. Raises InputError."""
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: half a character (a lone surrogate, \\ud800 to \\udfff) in a text") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: JSON that cannot be read: {first_line(error)}") from None
    return value


def _what(value: object) -> str:
    said = json.dumps(value, ensure_ascii=False, default=str)[:40]
    return f"{_NAMES.get(type(value), type(value).__name__)} ({said})"


def some(names: Sequence[str] | Row) -> str:
    """Names for an error, not all of a header of 250 kB."""
    said = ", ".join(str(name)[:40] for name in list(names)[:20])
    return f"{said}, ... ({len(names)} in all)" if len(names) > 20 else said


# ----------------------------------------------------------------------------------------------------- JSON


def _object(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {_what(value)} where an object {{column: value}} should be")
    return value


def json_object(line: str, where: str) -> Row:
    """Raises InputError for what is no JSON object."""
    return _object(load_json(line, where), where)


def _json_lines(path: Path) -> Rows:
    for number, line in read_lines(path):
        if line.strip():
            yield f"{path}:{number}", json_object(line, f"{path}:{number}")


def _json(path: Path) -> Rows:
    """A list of objects; an object with such a list under `data`; or JSON lines under the wrong name."""
    text = read_whole(path)
    lines = text.split("\n", 2)
    if len(lines) > 1 and all(line.startswith("{") and line.rstrip().endswith("}") for line in lines[:2] if line):
        yield from _json_lines(path)
        return
    value = load_json(text, str(path))
    entries = value.get("data", [value]) if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise InputError(f"{path}: {_what(entries)} where a list of objects should be")
    for number, entry in enumerate(entries, 1):
        where = f"{path}: entry {number}"
        yield where, _object(entry, where)


# -------------------------------------------------------------------------------------------------- parquet


def _parquet(path: Path, columns: Sequence[str]) -> Rows:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if lacking := [c for c in columns if c not in names]:
                raise InputError(f"{path}: no column '{lacking[0]}'; there are: {some(names)}")
            wanted = [*columns, *({"id"} & set(names) - set(columns))] if columns else names
            for batch in file.iter_batches(batch_size=1000, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable parquet file: {first_line(error)}") from None


# --------------------------------------------------------------------------------------------- TSV and CSV


class Record(NamedTuple):
    number: int  # of its first line
    fields: list[str]
    quoted: set[int]  # fields that quotation marks stood around


def delimiter_of(path: Path) -> str:
    """A tab; in a .csv file what its header has: commas, or else semicolons (where a comma is a decimal's) or tabs."""
    if suffix_of(path) != ".csv":
        return "\t"
    header = next((line for _, line in read_lines(path) if line.strip()), "")
    return next((mark for mark in ",;\t" if mark in header), ",")


def with_header(path: Source, delimiter: str) -> Iterator[Record]:
    """A table's header and its rows, empty ones too; all have as many fields. Raises InputError with file:line."""
    quoted = delimiter != "\t" or _quotes_are_set(path, delimiter)
    header: list[str] = []
    for record in _records(path, delimiter, quoted):
        number, fields, _ = record
        if header and any(fields):
            if len(fields) > len(header):
                raise InputError(f"{path}:{number}: {len(fields)} fields, but the header has {len(header)}")
            if len(fields) < len(header):
                raise InputError(f"{path}:{number}: column '{header[len(fields)][:40]}' is missing")
        if not header and any(fields):
            header = [name.strip() for name in fields]
        if header:
            yield record


def delimited(path: Source, delimiter: str, columns: Sequence[str]) -> Rows:
    """A table with a header. Raises InputError with file:line."""
    records = (record for record in with_header(path, delimiter) if any(record.fields))
    first = next(records, None)
    if first is None:
        return
    header = [name.strip() for name in first.fields]
    if lacking := [c for c in columns if c not in header]:
        raise InputError(
            f"{path}:{first.number}: no column '{lacking[0]}'; the header has: {some(header)}. "
            "The first line has to name the columns"
        )
    if twice := [c for c in columns if header.count(c) > 1]:
        raise InputError(f"{path}:{first.number}: column '{twice[0]}' is there twice")
    for number, fields, _ in records:
        yield f"{path}:{number}", dict(zip(header, fields, strict=True))


def _records(path: Source, delimiter: str, quoted: bool) -> Iterator[Record]:
    """Raises InputError where quotation marks are not set as they should be."""
    lines = read_lines(path)
    field = re.compile(rf'"((?:[^"]|"")*)"(?={delimiter}|\Z)|([^"{delimiter}]*)(?={delimiter}|\Z)')
    for number, line in lines:
        if not quoted or '"' not in line:
            yield Record(number, line.split(delimiter), set())
            continue
        parts, marks = [line], line.count('"')
        while marks % 2 and len(parts) < _MOST_LINES and (more := next(lines, None)) is not None:
            parts.append(more[1])
            marks += more[1].count('"')
        record, place, matches = "\n".join(parts), 0, []
        while place <= len(record):
            match = field.match(record, place)
            if match is None:
                raise InputError(
                    f"{path}:{number}: a quotation mark that does not open or close a field; double those inside one"
                )
            matches.append(match)
            place = match.end() + 1
        fields = [m[2] if m[1] is None else m[1].replace('""', '"') for m in matches]
        yield Record(number, fields, {i for i, m in enumerate(matches) if m[1] is not None})


def _quotes_are_set(path: Source, delimiter: str) -> bool:
    """Whether a TSV file's quotation marks stand around fields: all of them do, and for a reason.

    The reason: all of the header has them, or a field that needs them, or (Excel) just the fields with a comma.
    """
    if not any('"' in line for _, line in read_lines(path)):
        return False
    needed, commas = False, set()
    try:
        for row, (_, fields, quoted) in enumerate(_records(path, delimiter, quoted=True)):
            needed |= row == 0 and len(quoted) == len(fields)
            needed |= any(set(fields[i]) & {delimiter, "\n", '"'} for i in quoted)
            commas |= {(i in quoted) for i, field in enumerate(fields) if "," in field}
            if any("," not in fields[i] for i in quoted):
                commas.add(False)
    except InputError:
        return False
    return needed or commas == {True}
