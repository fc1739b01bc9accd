"""What others made: names, places, small files, JSON and TOML, each checked in one place."""

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import AfterValidator

from madx.config import InputError, RunError, first_line

LONGEST_NAME = 200  # bytes; a file system takes 255, and some of our files' names are longer than what they are for
LONGEST_LINE = 1000  # characters
SMALL = 8 << 20  # bytes of a configuration, a manifest, an index, a recipe


def _is_name(text: str) -> str:
    """For pydantic: raises ValueError."""
    if not text or text in (".", "..") or "/" in text or "\\" in text or not text.isprintable():
        raise ValueError(f"{printable(text)[:60]!r} is no name: letters, digits and signs but / and \\")
    if len(text.encode()) > LONGEST_NAME:
        raise ValueError(f"'{text[:20]}...' is no name: it has more than {LONGEST_NAME} bytes")
    if text[0] in "=+-@":
        raise ValueError(f"'{text}' is no name: it begins with a sign that a spreadsheet computes with")
    return text


Name = Annotated[str, AfterValidator(_is_name)]  # of one folder, file, adapter, head, task, method or language


def _is_line(text: str) -> str:
    """For pydantic: raises ValueError."""
    if len(text) > LONGEST_LINE or not text.isprintable():
        raise ValueError("no line of text")
    return text


Line = Annotated[str, AfterValidator(_is_line)]  # what is shown in one: the name of a model, a licence


def checked_name(value: object, where: Path | str) -> str:
    """A name that may become a part of a path. Raises InputError for anything else."""
    try:
        return _is_name(value if isinstance(value, str) else "")
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def inside(folder: Path, path: Path) -> Path:
    """`path`, proven to lie below `folder` with every link resolved. Raises InputError."""
    try:
        below = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        below = False
    if not below:
        raise InputError(f"{path}: leads out of {folder}, by a link or by its name; nothing was read or written there")
    return path


def without_links(folder: Path, names: tuple[str, ...]) -> None:
    """Refuse a folder in which a file of one of these names is a link, or no file. Raises InputError."""
    for name in names:
        path = folder / name
        if path.is_symlink():
            raise InputError(f"{path}: is a link; put the file itself there")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: {_kind(path.stat().st_mode)}")


def open_regular(path: Path) -> BinaryIO:
    """A file to read, never a pipe, a device or a folder, and never waiting for one. Raises InputError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a socket, no permission; a name with a NUL
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"{path}: {_kind(mode)}")
    return open(descriptor, "rb")


def read_small(path: Path, limit: int = SMALL) -> bytes:
    """A whole file of at most `limit` bytes. Raises InputError."""
    with open_regular(path) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {reason(error)}") from error
    if len(content) > limit:
        raise InputError(f"{path}: has more than {limit >> 20} MiB; no such file is this large")
    return content


def parse_json(content: bytes, where: Path | str) -> Any:
    """JSON in UTF-8, of a depth and with numbers that Python can hold. Raises InputError."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InputError(f"{where}: not JSON that can be read: nested too deeply") from None
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise InputError(f"{where}: not JSON: {first_line(error)[:200]}") from None


def read_json_object(path: Path, limit: int = SMALL) -> dict[str, Any]:
    """A small file that holds one JSON object. Raises InputError."""
    value = parse_json(read_small(path, limit), path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary. Raises InputError with file and line."""
    try:
        return tomllib.loads(read_small(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InputError(f"{path}: not TOML that can be read: nested too deeply") from None
    except ValueError as error:  # not TOML, or a number of thousands of digits
        raise InputError(f"{path}: not valid TOML: {first_line(error)[:200]}") from None


def printable(text: str) -> str:
    """Text as a terminal may have it: what would steer it, or turn the line around, is spelt out."""
    return "".join(c if c.isprintable() or c in "\n\t\u200c\u200d" else repr(c)[1:-1] for c in text)


def markdown_text(text: str) -> str:
    """Text that stays in its line and cell, and is no link, no HTML and no code."""
    return re.sub(r"[\\|`\[\]]", r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


def reason(error: OSError | ValueError) -> str:
    """What the system says, without its numbers and paths."""
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return f"is {next((name for is_one, name in kinds if is_one(mode)), 'a device')}; a regular file is expected here"
