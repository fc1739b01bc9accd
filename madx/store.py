"""Folders named by content: claim, resume, finish, find. A half-written file is never taken for a whole one.

`done.json`, written last, holds the digest of every file of its step and of itself: what was damaged later is found
when it is read, is no longer taken for done, and is made again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from madx.config import InputError, RunError, file_digest
from madx.foreign import SMALL, parse_json
from madx.shared import DONE, Shared
from madx.writing import io_errors, make_folder, name_beside, remove_folder, swap_folder, sweep, write_json

UNSEALED = {"seconds", "result", "memory_mb"}  # what done.json held before it was sealed
FOR_PEOPLE = ("README.md", "log.jsonl")  # nothing is computed from them, so they may be changed


@dataclass
class _Seen:
    """What is known of a done.json, as long as it stays the same file."""

    identity: tuple[int, int, int]
    done: dict[str, Any]  # empty: damaged
    problem: str = ""
    checked: bool = False  # the step's files too


ELSEWHERE = (0, 0, 0)  # no file's identity: what a shared store has, and this one not yet


class Store:
    """A directory of results, each in a folder `<stage>-<subject>-<digest>` named by the value that makes it.

    `shared`: where machines share them; this directory is the cache of it.
    """

    def __init__(self, root: Path, shared: Shared | None = None) -> None:
        self.root, self.shared = root, shared
        self._seen: dict[str, _Seen] = {}

    def __reduce__(self) -> tuple[type["Store"], tuple[Path, Shared | None]]:
        return Store, (self.root, self.shared)  # what another process has seen isn't this one's

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
        if seen.identity == ELSEWHERE:
            self._fetch(name, seen)
            seen = self._look(name)
            if seen is None or seen.identity == ELSEWHERE:
                return False  # somebody else is at it
        if not seen.checked:
            seen.problem = self._damage(name, seen.done.get("files", {}))
            seen.checked = True
            if seen.problem and self.shared is not None:
                self.shared.distrust(name)  # if it came from there
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
        seen = self._look(name, sure=True)
        if seen is None or seen.problem:
            raise self.missing(name)
        return seen.done

    @contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Whether nobody else works on a step, nor may within. A dead holder's lock is gone: it is the system's."""
        lock = FileLock(self.root / f".{name}.lock")
        with io_errors(self.root):
            make_folder(self.root)
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
                make_folder(self.folder(name))
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
                    remove_folder(self.folder(name))
            return mine

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """Written last: its existence means the folder is complete."""
        if (self.folder(name) / DONE).exists():
            raise RunError(f"{self.folder(name)} is finished already")
        with io_errors(self.folder(name)):
            folder = self.folder(name)
            files = {path.relative_to(folder).as_posix(): file_digest(path) for path in self._artefacts(name)}
            done = json.loads(json.dumps({**result, "files": files}))  # as it will be read
            write_json(self.folder(name) / DONE, {**done, "seal": _seal(done)})
        seen = self._look(name)
        assert seen is not None
        seen.checked = True  # just now
        self.share(name)

    def share(self, name: str) -> None:
        """Send what is finished here to where machines share it, unless it is there. Raises RunError."""
        if self.shared is None or not (self.folder(name) / DONE).exists():
            return
        there = self.shared.done(name, sure=True)
        if there is None or _read_done(there, name, ELSEWHERE).problem:
            beside = [file for file in FOR_PEOPLE if (self.folder(name) / file).exists()]
            self.shared.send(name, [*self.result(name).get("files", {}), *beside], self.folder(name))

    def _fetch(self, name: str, seen: _Seen) -> None:
        """What another machine has made, unless another process here is at it. Raises RunError."""
        assert self.shared is not None
        with self._lock(name) as mine:
            if mine and not (self.folder(name) / DONE).exists():
                new = name_beside(self.folder(name))
                try:
                    with io_errors(self.root):
                        new.mkdir()
                        self.shared.fetch(name, list(seen.done.get("files", {})), FOR_PEOPLE, new)
                        swap_folder(new, self.folder(name))
                finally:
                    shutil.rmtree(new, ignore_errors=True)

    def _artefacts(self, name: str) -> list[Path]:
        paths = sorted(self.folder(name).rglob("*"))
        return [p for p in paths if p.is_file() and p.name[0] != "." and p.name not in (DONE, *FOR_PEOPLE)]

    def _look(self, name: str, sure: bool = False) -> _Seen | None:
        """`sure`: with a fresh look at what machines share."""
        path = self.folder(name) / DONE
        try:
            status = path.stat()
        except OSError:
            return self._look_elsewhere(name, sure)
        identity = (status.st_mtime_ns, status.st_size, status.st_ino)
        seen = self._seen.get(name)
        if seen is None or seen.identity != identity:
            seen = _read_done(_content(path), str(path), identity)
            self._seen[name] = seen
        return seen

    def _look_elsewhere(self, name: str, sure: bool) -> _Seen | None:
        if self.shared is None:
            return None
        seen = self._seen.get(name)
        if seen is None or seen.identity != ELSEWHERE:
            content = self.shared.done(name, sure)
            seen = _read_done(content, name, ELSEWHERE) if content is not None else None
            if seen is None or seen.problem:
                return None
            self._seen[name] = seen
        return seen

    def _damage(self, name: str, files: dict[str, str]) -> str:
        for file, digest in files.items():
            path = self.folder(name) / file
            with io_errors(path):  # what can't be read now isn't damaged for that
                if not path.is_file():
                    return f"{path}: damaged: it isn't there, or is no file"
                if file_digest(path) != digest:
                    return f"{path}: damaged, its bytes aren't those that were written"
        return ""


def _content(path: Path) -> bytes:
    """What a done.json holds, if it can be one. Raises RunError where it can't be read, which is no damage."""
    with io_errors(path):
        try:
            if path.is_file() and path.stat().st_size <= SMALL:
                return path.read_bytes()
        except FileNotFoundError:  # removed while we look
            pass
    return b""


def _read_done(content: bytes, where: str, identity: tuple[int, int, int]) -> _Seen:
    damaged = _Seen(identity, {}, f"{where}: damaged")
    try:
        done = parse_json(content, where)
    except InputError:
        return damaged
    if not isinstance(done, dict):
        return damaged
    seal = done.pop("seal", None)
    if seal is None:
        whole = (set(done), type(done.get("seconds")), type(done.get("result"))) == (UNSEALED, float, dict)
    else:
        whole = seal == _seal(done)
    return _Seen(identity, done) if whole and isinstance(done.get("files", {}), dict) else damaged


def _seal(done: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(done, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
