"""The lines of a file, whatever it is compressed with and however its lines end. All that reads text begins here.

Compression is told by a file's first bytes, not by its name. The text must be UTF-8; its mark is no part of it.
"""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Literal, NamedTuple, Protocol, cast

from madx.config import InputError, RunError, first_line, named
from madx.foreign import reason

LONGEST = 1 << 25  # characters of a line: more fits in nobody's memory four times over
WHOLE = 1 << 28  # characters of a file that is read as one value (.json)
_SAMPLE = 1 << 16  # characters that show how a file's lines end


def _zstandard(file: IO[bytes]) -> io.BufferedReader:
    import zstandard  # type: ignore[import-not-found]

    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


# by a file's first bytes, what unpacks it: they read, and show what is next, as a BufferedReader does
_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], io.BufferedReader]] = {
    b"\x1f\x8b": lambda file: cast(io.BufferedReader, gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(io.BufferedReader, bz2.BZ2File(file)),
    b"\xfd7zXZ\x00": lambda file: cast(io.BufferedReader, lzma.LZMAFile(file)),
    b"\x28\xb5\x2f\xfd": _zstandard,
}
SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
# first bytes of what is no text at all
_FOREIGN = {
    codecs.BOM_UTF16_LE: "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
    b"PK\x03\x04": "a zip archive (Word, Excel and LibreOffice files are too); export it as plain text, a table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Word or Excel file; export it as plain text, a table as CSV",
    b"%PDF": "a PDF; export it as plain text",
    b"PAR1": "a parquet file; name it .parquet",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; fetch it: git lfs pull",
}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Source(Protocol):
    """Something to read that has a name: a file, as a Path, or bytes that are at hand."""

    @property
    def suffix(self) -> str: ...

    def open(self, mode: Literal["rb"]) -> io.BufferedReader: ...


class Held(NamedTuple):
    """Bytes that are no file's, standard input's for example; errors call them by `name`."""

    content: bytes
    name: str
    suffix: str = ""

    def __str__(self) -> str:
        return self.name

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.content))  # type: ignore[type-var]


def suffix_of(path: Path) -> str:
    """What a file is by its name, compression apart: `.tsv` of `a.TSV.gz`."""
    name = path.name.lower()
    for compressed in SUFFIXES:
        name = name.removesuffix(compressed)
    return Path(name).suffix


@contextmanager
def _opened(path: Source) -> Iterator[io.BufferedReader]:
    """A file's content, unpacked. Raises InputError for what can't be text, and for a file that isn't there."""
    try:
        packed = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    with named(path), packed:
        start, said = packed.peek(8), SUFFIXES.get(path.suffix.lower(), "")
        unpack = next((u for magic, u in _COMPRESSIONS.items() if start.startswith(magic)), None)
        if said and unpack is None:
            raise InputError(f"{path}: damaged or misnamed: it does not begin as {said} does")
        try:
            with unpack(packed) if unpack else packed as file:
                for magic, what in _FOREIGN.items():
                    if file.peek(32).startswith(magic):
                        raise InputError(f"{path}: this is {what}")
                yield file
        except ImportError:
            raise InputError(
                f"{path}: compressed with zstd, which needs `pip install zstandard`; or unpack the file"
            ) from None


@contextmanager
def _text(path: Source) -> Iterator[io.TextIOWrapper]:
    """A file's text, without its mark. A return inside a line ends it only where the file has no other line ends."""
    with _opened(path) as file:
        start = file.peek(_SAMPLE)[:_SAMPLE]
        if start[:256].count(0) > len(start[:256]) // 4:
            raise InputError(f"{path}: not text, or UTF-16; if so, convert it: iconv -f UTF-16 -t UTF-8")
        ends = "\r" if b"\r" in start and b"\n" not in start else "\n"
        yield io.TextIOWrapper(file, encoding="utf-8-sig", newline=ends)


def read_lines(path: Source) -> Iterator[tuple[int, str]]:
    """Line number from 1 and line, without its end.

    Raises InputError with file:line for what isn't UTF-8, for a damaged file, and for a line beyond `LONGEST`.
    """
    number = 0
    try:
        with _text(path) as text:
            for number, line in enumerate(iter(partial(text.readline, LONGEST + 1), ""), 1):
                if len(line) > LONGEST:
                    raise InputError(f"{path}:{number}: a line of more than {LONGEST:,} characters; is this text?")
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except _DAMAGE as error:
        raise _broken(f"{path}:{number + 1}", error) from None


def read_whole(path: Source) -> str:
    """All of a file that is one value. Raises InputError as `read_lines` does."""
    try:
        with _text(path) as text:
            found = text.read(WHOLE + 1)
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except _DAMAGE as error:
        raise _broken(str(path), error) from None
    if len(found) > WHOLE:
        raise InputError(f"{path}: more than {WHOLE:,} characters in one value; write JSON lines (.jsonl)")
    return found


def _broken(where: str, error: Exception) -> InputError | RunError:
    """What is wrong with a file, or with the disk that it is on."""
    if isinstance(error, OSError) and error.errno is not None:
        return RunError(f"{where}: cannot be read: {reason(error)}")
    return InputError(f"{where}: damaged file: {first_line(error)}")


def _not_utf8(path: Source) -> InputError | RunError:
    """The error with its place: the decoder knows no lines, so the file is read once more."""
    number, place = 0, 0
    try:
        with _opened(path) as file:
            for line in iter(partial(file.readline, 4 * LONGEST), b""):
                number += 1
                line.decode()
    except UnicodeDecodeError as error:
        place = error.start + 1
    except _DAMAGE as error:
        return _broken(f"{path}:{number + 1}", error)
    return InputError(f"{path}:{number}: not UTF-8 (byte {place}); save it as UTF-8 in your editor, or use iconv")
