"""Whole files or none: written beside, flushed to the disk, renamed; folders too; and who may do so at a time.

What is told to be there outlasts a power cut: a file's bytes are flushed before it gets its name, its folder after.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from madx.config import InputError, RunError, named
from madx.foreign import parse_json, read_small, reason

UMASK = os.umask(0o022)  # the user's; asking for it sets it, so it is asked for once, before there are threads
os.umask(UMASK)


# what the disk says; a network says other things
OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG}
PART = re.compile(r"\.([^/\\]{1,100})\.[0-9a-f]{12}\.part\b")  # what `name_beside` makes


def refused(error: OSError, path: Path | None = None) -> RunError:
    """What the system refuses, as one line: where, why, what is safe and what to do. `path`: where it doesn't say."""
    where = error.filename2 or error.filename or path  # of two names the second is the one that was to be made
    where = PART.sub(r"\1", str(where)) if where else ""  # the hidden one is gone when a person reads this
    where = os.getcwd() if where == "." else where
    what = "what was finished is safe: put that right and run the same command again"
    return RunError(f"{where}: {reason(error)}; {what}" if where else f"{reason(error)}; {what}")


@contextmanager
def io_errors(path: Path) -> Iterator[None]:
    """What the system refuses within, as one line. Raises RunError."""
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error


def name_beside(path: Path) -> Path:
    """A name that no other process, thread or machine uses; hidden, so that nobody takes it for a result."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which becomes `path` when it is whole and on the disk; else nothing is left."""
    beside = name_beside(path)
    try:
        with named(path):
            yield beside
            os.chmod(beside, 0o666 & ~UMASK)  # some libraries make files that nobody else may read
            fsync_file(beside)
            os.replace(beside, path)
        fsync_folder(path.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, option: str = "") -> Iterator[Path]:
    """A folder to fill, which becomes `path` when all is in it; else nothing is left.

    `option`: by which a person says where. Raises InputError where `path` is there, then or before.
    """
    taken = f"{path}: is there already; choose a new folder{option and f': {option}'}"
    if path.is_symlink() or path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(taken)
    make_folder(path.parent)
    beside = name_beside(path)
    beside.mkdir()
    try:
        with named(path):
            yield beside
        fsync_tree(beside)
        try:
            os.replace(beside, path)
        except OSError:  # somebody else was faster
            if path.exists():
                raise InputError(taken) from None
            raise
        try:
            fsync_folder(path.parent)
        except OSError:
            os.replace(path, beside)  # who is told that it failed finds nothing, and may try again
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def swap_folder(new: Path, old: Path) -> None:
    """Put a folder in another one's place. Whoever swaps holds a lock; a reader meets the one or the other."""
    aside = name_beside(old)
    fsync_tree(new)
    if old.exists():
        os.replace(old, aside)
    try:
        os.replace(new, old)
    except OSError:
        if aside.exists():
            os.replace(aside, old)
        raise
    fsync_folder(old.parent)
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """With all that is in it. An OSError names the file that can't be removed by its whole path."""

    def told(_: object, where: str, raised: Any) -> None:
        error = raised[1]
        error.filename = where  # the system is asked by the last part alone
        raise error

    shutil.rmtree(path, onerror=told)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed processes have left half-written. For whoever has the folder, or the name, locked."""
    for path in folder.glob(f".{name}*.part"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, the others wait: by a lock file beside `path`. Raises RunError if there can't be."""
    with io_errors(path):
        make_folder(path.parent)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename."""
    with new_file(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """An object of JSON with a line for each entry of its parts: small though it is long, and searchable by line."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    def lines(value: Any) -> str:
        if isinstance(value, Mapping) and value:
            return "{\n" + ",\n".join(f"  {text(key)}: {text(entry)}" for key, entry in value.items()) + "\n}"
        if isinstance(value, list | tuple) and value:
            return "[\n" + ",\n".join(f"  {text(entry)}" for entry in value) + "\n]"
        return text(value)

    parts = (f"{text(key)}: {lines(value)}" for key, value in record.items())
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def read_json(path: Path) -> Any:
    """Raises InputError."""
    return parse_json(read_small(path), path)


def fsync_file(path: Path) -> None:
    """Make sure that what another library wrote has reached the disk."""
    with named(path), open(path, "rb") as file:
        os.fsync(file.fileno())


def fsync_folder(path: Path) -> None:
    """Make sure that the names in a folder have reached the disk, where the system has a way to."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems flush no folder
            raise
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """All files below a folder, and their names."""
    for place, _, files in os.walk(folder):
        for name in files:
            fsync_file(Path(place, name))
        fsync_folder(Path(place))


def make_folder(path: Path) -> None:
    """With its parents, as far as they aren't there."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync_folder(path.parent)
