"""Folders named by content: claim, resume, finish, find. A half-written file is never taken for a whole one.

`done.json`, written last, holds the digest of every file of its step and of itself: what was damaged later is found
when it is read, is no longer taken for done, and is made again.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from madx.config import InputError, RunError, file_digest
from madx.foreign import parse_json, read_json_object, read_small, reason

DONE = "done.json"
UNSEALED = {"seconds", "result", "memory_mb"}  # what done.json held before it was sealed
UMASK = os.umask(0o022)  # the user's; asking for it sets it, so it is asked for once, before there are threads
os.umask(UMASK)
FOR_PEOPLE = ("README.md", "log.jsonl")  # nothing is computed from them, so they may be changed


# ------------------------------------------------------------------------------------------------------- writing


@contextmanager
def io_errors(path: Path) -> Iterator[None]:
    """What the system refuses within, as one line: where, why, what is safe and what to do. Raises RunError."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise RunError(
            f"{where}: {reason(error)}; what was finished is safe: put that right and run the same command again"
        ) from error


def _beside(path: Path) -> Path:
    """A name that no other process, thread or machine uses; hidden, so that nobody takes it for a result."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which becomes `path` when it is whole and on the disk; else nothing is left."""
    beside = _beside(path)
    try:
        yield beside
        os.chmod(beside, 0o666 & ~UMASK)  # some libraries make files that nobody else may read
        fsync_file(beside)
        os.replace(beside, path)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.mkdir()
    try:
        yield beside
        try:
            os.replace(beside, path)
        except OSError:  # somebody else was faster
            if path.exists():
                raise InputError(taken) from None
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def swap_folder(new: Path, old: Path) -> None:
    """Put a folder in another one's place. Whoever swaps holds a lock; a reader meets the one or the other."""
    aside = _beside(old)
    if old.exists():
        os.replace(old, aside)
    os.replace(new, old)
    shutil.rmtree(aside, ignore_errors=True)


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
        path.parent.mkdir(parents=True, exist_ok=True)
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


def read_json(path: Path) -> Any:
    """Raises InputError."""
    return parse_json(read_small(path), path)


def fsync_file(path: Path) -> None:
    """Make sure that what another library wrote has reached the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


# --------------------------------------------------------------------------------------------------------- steps


@dataclass
class _Seen:
    """What is known of a done.json, as long as it stays the same file."""

    identity: tuple[int, int, int]
    done: dict[str, Any]  # empty: damaged
    problem: str = ""
    checked: bool = False  # the step's files too


class Store:
    """A directory of results, each in a folder `<stage>-<subject>-<digest>` named by the value that makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[str, _Seen] = {}

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.root,)  # what another process has seen isn't this one's

    def folder(self, name: str) -> Path:
        return self.root / name

    def is_done(self, name: str) -> bool:
        """Whether the step is finished, as far as its done.json says; costs a look at the file's date."""
        seen = self._look(name)
        return seen is not None and not seen.problem

    def is_whole(self, name: str) -> bool:
        """The same, and every file of it has the bytes that it was finished with; they are read once."""
        seen = self._look(name)
        if seen is None or seen.problem:
            return False
        if not seen.checked:
            seen.problem = self._damage(name, seen.done.get("files", {}))
            seen.checked = True
        return not seen.problem

    def problem(self, name: str) -> str:
        """What is known to be damaged of a step, in one line; empty: nothing."""
        seen = self._look(name)
        return seen.problem if seen is not None else ""

    def missing(self, name: str) -> RunError:
        """Why there is no such result, and what to do."""
        problem = self.problem(name)
        return RunError(
            f"{problem}; run the same command again: it is made again" if problem else f"{name} has not been made yet"
        )

    def result(self, name: str) -> dict[str, Any]:
        """What the step that made this folder reported when it finished."""
        seen = self._look(name)
        if seen is None or seen.problem:
            raise self.missing(name)
        return seen.done

    @contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Whether nobody else works on a step, nor may within. A dead holder's lock is gone: it is the system's."""
        lock = FileLock(self.root / f".{name}.lock")
        with io_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with suppress(Timeout):
                lock.acquire(timeout=0)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    @contextmanager
    def claim(self, name: str) -> Iterator[Path | None]:
        """The folder to work in, or None if it is finished or another process works on it."""
        with self._lock(name) as mine:
            if not mine or self.is_whole(name):
                yield None
                return
            with io_errors(self.folder(name)):
                self.folder(name).mkdir(exist_ok=True)
                (self.folder(name) / DONE).unlink(missing_ok=True)
                sweep(self.folder(name))
            yield self.folder(name)

    def is_claimed(self, name: str) -> bool:
        """Whether a process works on it now."""
        with self._lock(name) as mine:
            return not mine

    def remove(self, name: str) -> bool:
        """Delete a step's folder, unless another process works on it; whether it is gone."""
        with self._lock(name) as mine:
            if mine:
                with io_errors(self.folder(name)):
                    # done.json first: half a folder is never taken for a whole one
                    (self.folder(name) / DONE).unlink(missing_ok=True)
                    shutil.rmtree(self.folder(name))
            return mine

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """Written last: its existence means the folder is complete."""
        if self.is_done(name):
            raise RunError(f"{self.folder(name)} is finished already")
        with io_errors(self.folder(name)):
            folder = self.folder(name)
            files = {path.relative_to(folder).as_posix(): file_digest(path) for path in self._artefacts(name)}
            done = json.loads(json.dumps({**result, "files": files}))  # as it will be read
            write_json(self.folder(name) / DONE, {**done, "seal": _seal(done)})
        seen = self._look(name)
        assert seen is not None
        seen.checked = True  # just now

    def _artefacts(self, name: str) -> list[Path]:
        paths = sorted(self.folder(name).rglob("*"))
        return [p for p in paths if p.is_file() and p.name[0] != "." and p.name not in (DONE, *FOR_PEOPLE)]

    def _look(self, name: str) -> _Seen | None:
        path = self.folder(name) / DONE
        try:
            status = path.stat()
        except OSError:
            return None
        identity = (status.st_mtime_ns, status.st_size, status.st_ino)
        seen = self._seen.get(name)
        if seen is None or seen.identity != identity:
            seen = self._seen[name] = _read_done(path, identity)
        return seen

    def _damage(self, name: str, files: dict[str, str]) -> str:
        for file, digest in files.items():
            path = self.folder(name) / file
            try:
                if file_digest(path) != digest:
                    return f"{path}: damaged, its bytes aren't those that were written"
            except OSError as error:
                return f"{path}: damaged: {reason(error)}"
        return ""


def _read_done(path: Path, identity: tuple[int, int, int]) -> _Seen:
    try:
        done = read_json_object(path)
    except (InputError, RunError):
        return _Seen(identity, {}, f"{path}: damaged")
    seal = done.pop("seal", None)
    if seal is None:
        whole = (set(done), type(done.get("seconds")), type(done.get("result"))) == (UNSEALED, float, dict)
    else:
        whole = seal == _seal(done)
    return _Seen(identity, done) if whole else _Seen(identity, {}, f"{path}: damaged")


def _seal(done: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(done, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
