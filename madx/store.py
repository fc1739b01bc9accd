"""Folders named by content: claim, resume, finish, find. A half-written file is never taken for a whole one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from madx.config import RunError

DONE = "done.json"


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def fsync_file(path: Path) -> None:
    """Make sure that what another library wrote has reached the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


class Store:
    """A directory of results, each in a folder `<stage>-<subject>-<digest>` named by the value that makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        return self.root / name

    def is_done(self, name: str) -> bool:
        return (self.folder(name) / DONE).exists()

    def result(self, name: str) -> dict[str, Any]:
        """What the step that made this folder reported when it finished."""
        result: dict[str, Any] = read_json(self.folder(name) / DONE)
        return result

    @contextmanager
    def claim(self, name: str) -> Iterator[Path | None]:
        """The folder to work in, or None if it is finished or another process works on it.

        The lock is the operating system's: it is gone when its holder is, however that ended.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield None
            return
        try:
            if self.is_done(name):
                yield None
            else:
                folder = self.folder(name)
                folder.mkdir(exist_ok=True)
                yield folder
        finally:
            lock.release()

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """Written last: its existence means the folder is complete."""
        if self.is_done(name):
            raise RunError(f"{self.folder(name)} is finished already")
        write_json(self.folder(name) / DONE, result)
