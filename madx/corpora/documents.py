"""The documents of a text source, one after the other: files, folders and Hub datasets. Nothing is held in memory."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from madx.catalog.language import TextSource
from madx.config import InputError, first_line

SUFFIXES = (".txt", ".jsonl", ".parquet", ".txt.gz", ".jsonl.gz")
LONGEST = 1 << 20  # characters; a longer line is cut, so that one endless line fits in memory


def find_file(name: str, data: Path | None) -> Path:
    """A path of the catalogue or a recipe: absolute, under --data, or under the working directory."""
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [*([data / path] if data else []), path]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    hint = "" if data else " (no --data DIR was given)"
    raise InputError(f"{name}: no such file{hint}")


def files_of(path: Path) -> list[Path]:
    """The text files of a folder, in order; a file is itself. Raises InputError where there are none."""
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    if not files:
        raise InputError(f"{path}: no {', '.join(SUFFIXES)} file in this folder")
    return files


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number from 1 and line. Raises InputError with file:line where the text isn't UTF-8."""
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(LONGEST):
                number += 1
                try:
                    yield number, raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    # a cut inside a character of an over-long line is not the file's fault
                    if len(raw) == LONGEST and error.start > LONGEST - 4:
                        yield number, raw[: error.start].decode("utf-8")
                        continue
                    raise InputError(
                        f"{path}:{number}: not UTF-8 (byte {error.start + 1}); convert the file, e.g. with iconv"
                    ) from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path}:{number + 1}: damaged gzip file: {error}") from None


def _documents(path: Path, source: TextSource) -> Iterator[str]:
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        for number, line in read_lines(path):
            if not line.strip():
                continue
            try:
                text = json.loads(line)[source.column]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(f"{path}:{number}: no JSON object with a '{source.column}' ({error!r})") from None
            if not isinstance(text, str):
                raise InputError(f"{path}:{number}: '{source.column}' is no text")
            yield text
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(path)
            if source.column not in file.schema_arrow.names:
                raise InputError(
                    f"{path}: no column '{source.column}'; there are: {', '.join(file.schema_arrow.names)}"
                )
            for batch in file.iter_batches(batch_size=1000, columns=[source.column]):
                yield from (text for text in batch.column(0).to_pylist() if text)
        except OSError as error:
            raise InputError(f"{path}: not a readable parquet file: {error}") from None
    else:
        first, last = source.lines or (1, None)
        for number, line in read_lines(path):
            if last is not None and number > last:
                break
            if number >= first:
                yield line


def documents(source: TextSource, data: Path | None) -> Iterator[str]:
    """The documents of one source. A Hub dataset is streamed."""
    if source.file is not None:
        for path in files_of(find_file(source.file, data)):
            yield from _documents(path, source)
        return
    import datasets

    try:
        stream: Any = datasets.load_dataset(
            source.hub, source.config, split=source.split, revision=source.revision, streaming=True
        )
        for row in stream:
            if source.column not in row:
                has = ", ".join(row)
                raise InputError(f"Hub dataset {source.hub}: no column '{source.column}'; it has: {has}")
            yield row[source.column]
    except (FileNotFoundError, ValueError, KeyError, ConnectionError, OSError) as error:
        raise InputError(f"Hub dataset {source.hub} ({source.config}): {first_line(error)}") from None
