"""A disk that fails at a chosen call, or whose power is cut there: below Python's functions, and two native ones.

Every call on a file below `root` (open, write, read, fsync, replace, mkdir, unlink, ...) is counted. A power cut takes
what was never flushed: bytes since a file's last fsync; names made, replaced or removed since their folder's last one.
"""

import builtins
import errno
import io
import itertools
import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError

from madx.formats import tensors
from madx.writing import PART

MAKES = {"open to write", "write", "fsync", "mkdir", "replace", "symlink", "link"}  # what a full disk refuses
NAMES = MAKES - {"write", "fsync"} | {"open to read", "unlink", "rmdir", "chmod"}  # what a lack of permission does
# by kind of fault: its number, and the calls that it can meet; None: all
ERRORS: Mapping[str, tuple[int, set[str] | None]] = {
    "full": (errno.ENOSPC, MAKES),
    "broken": (errno.EIO, None),
    "refused": (errno.EACCES, NAMES),
}


class Gone(BaseException):
    """The process, or the power: nothing catches it to go on."""


@dataclass
class Change:
    """Of a folder's names; `undo` is what a cut does to it, until the folder is flushed."""

    folder: str
    undo: Callable[[], None]
    durable: bool = False


class Disk:
    """`kind`: of ERRORS, "killed", "cut" (all that wasn't flushed is lost) or "cut by chance" (some of it is).

    It strikes at call number `at` of those that it can meet (0: never), and with `persistent` at all after it too.
    """

    def __init__(self, root: Path, kind: str, at: int, persistent: bool = False) -> None:
        self.root, self.kind, self.at, self.persistent = str(root), kind, at, persistent
        self.count, self.struck = 0, list[str]()  # calls that could be met; the files of those that were
        self.calls = Counter[str]()  # all of them
        self._files: dict[int, str] = {}  # by descriptor
        self._limbo = Path(f"{root}.limbo")  # links to what a cut may bring back
        self._numbers = itertools.count()
        self._flushed: dict[int, bytes] = {}  # by inode, what of a file is safe
        self._kept: dict[int, Path] = {}  # and where it is found, whatever it is called
        self._changes: list[Change] = []
        self._is_cut, self._cutter = False, 0  # the thread that undoes, whose calls are none of the program's

    @property
    def cuts(self) -> bool:
        return self.kind.startswith("cut")

    def install(self, patch: pytest.MonkeyPatch) -> None:
        self._system: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _CALLS}
        self._open = builtins.open
        patch.setattr(builtins, "open", self.open)
        patch.setattr(io, "open", self.open)
        for name in _CALLS:
            patch.setattr(os, name, self._os_open if name == "open" else getattr(self, name))
        patch.setattr(tensors, "save_file", self._save_file)
        patch.setattr(tensors, "load_file", self._load_file)
        if self.cuts:
            self._limbo.mkdir(exist_ok=True)

    def call(self, what: str, path: str, said: Any = None, half: Callable[[], object] = lambda: None) -> None:
        """`said`: the name that the system's error has; none where a descriptor failed. `half`: done before it."""
        if self._is_cut:
            if threading.get_ident() != self._cutter:
                raise Gone
            return
        self.calls[what] += 1
        number, meets = ERRORS.get(self.kind, (0, None))
        if meets is not None and what not in meets:
            return
        self.count += 1
        if not self.at or not (self.count == self.at or (self.persistent and self.count > self.at)):
            return
        self.struck.append(path)
        half()
        if self.cuts:
            self.cut()
        if not number:
            raise Gone
        raise OSError(number, os.strerror(number), said)

    def named_in(self, line: str) -> bool:
        """Whether it names a file that was struck, by the name that it was to have, or its folder."""
        meant = [PART.sub(r"\1", path) for path in self.struck]
        names = {name for path in (*self.struck, *meant) for name in (os.path.dirname(path), os.path.basename(path))}
        names |= {os.path.relpath(os.path.dirname(path), self.root) for path in meant} - {"."}
        return any(name in line for name in names)

    # ------------------------------------------------------------------------------------------------------- files

    def open(self, file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        path = self._path(file)
        if path is None:
            elsewhere = self._open(file, mode, *arguments, **more)
            self._files.pop(elsewhere.fileno(), None)  # a number that one of ours had
            return elsewhere
        raw_mode = mode.replace("b", "").replace("t", "")
        named = file if isinstance(file, int) else path
        raw = _Raw(self, path, named, raw_mode)
        if "+" in mode:
            opened: Any = io.BufferedRandom(raw)
        else:
            opened = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return opened
        keywords = ("buffering", "encoding", "errors", "newline")
        said = {**dict(zip(keywords, arguments, strict=False)), **more}
        said.pop("buffering", None)
        return io.TextIOWrapper(opened, **said)

    def opening(self, path: str, writes: bool) -> None:
        self.call("open to write" if writes else "open to read", path, path)
        if writes and self.cuts:
            before = os.path.exists(path)
            if not before:
                self._changes.append(Change(os.path.dirname(path), lambda: Path(path).unlink(missing_ok=True)))
                self._open(path, "wb").close()
            inode = os.stat(path).st_ino
            if inode not in self._kept:
                self._flushed[inode] = self._bytes(Path(path)) if before else b""
                self._kept[inode] = self._link(path)

    def opened(self, descriptor: int, path: str) -> None:
        self._files[descriptor] = path

    def written(self, path: str, half: Callable[[], object]) -> None:
        self.call("write", path, half=half)

    def read(self, path: str) -> None:
        self.call("read", path)

    def _save_file(self, values: Any, path: Any, metadata: Any = None) -> None:
        try:
            with self.open(path, "wb") as file:
                file.write(safetensors.torch.save(values, metadata))
        except OSError as error:
            raise SafetensorError(f"Error while serializing: I/O error: {error.strerror}") from None

    def _load_file(self, path: Any) -> Any:
        with self.open(path, "rb") as file:
            return safetensors.torch.load(file.read())

    # ------------------------------------------------------------------------------------- what os has of functions

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        where = self._path(path, dir_fd)
        if where is not None:
            self.opening(where, bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        descriptor: int = self._system["open"](path, flags, mode, dir_fd=dir_fd)
        if where is None:
            self._files.pop(descriptor, None)  # a number that one of ours had
        else:
            self.opened(descriptor, where)
        return descriptor

    def fsync(self, descriptor: int) -> None:
        path = self._files.get(descriptor)
        if path is None:
            return
        self.call("fsync", path)
        if not self.cuts:
            return  # it would only take time
        if os.path.isdir(path):
            for change in self._changes:
                change.durable = change.durable or change.folder == path
        else:
            inode = os.fstat(descriptor).st_ino
            self._flushed[inode] = self._bytes(self._kept[inode]) if inode in self._kept else b""

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        self.read(self._files[descriptor])
        found: bytes = self._system["pread"](descriptor, length, offset)
        return found

    def sendfile(self, target: int, source: int, *more: Any) -> int:
        if target in self._files:
            self.call("write", self._files[target])
        sent: int = self._system["sendfile"](target, source, *more)
        return sent

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        here, there = self._path(source), self._path(target)
        if here is None or there is None:
            return self._system["replace"](source, target, **more)  # type: ignore[no-any-return]
        self.call("replace", there, here)
        old = self._aside(there)
        self._system["replace"](here, there)

        def undo() -> None:
            self._system["replace"](there, here)
            old()

        return self._changes.append(Change(os.path.dirname(there), undo))

    rename = replace

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        where = self._path(path, dir_fd)
        if where is not None and not os.path.exists(where):
            self.call("mkdir", where, path)
            # the root's own folder isn't looked at
            undo = Change(os.path.dirname(where), lambda: shutil.rmtree(where, ignore_errors=True), where == self.root)
            self._changes.append(undo)
        self._system["mkdir"](path, mode, dir_fd=dir_fd)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        where = self._path(path, dir_fd)
        if where is not None and os.path.lexists(where):
            self.call("unlink", where, path)
            self._changes.append(Change(os.path.dirname(where), self._aside(where)))
        self._system["unlink"](path, dir_fd=dir_fd)

    remove = unlink

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        where = self._path(path, dir_fd)
        if where is not None:
            self.call("rmdir", where, path)
            self._changes.append(Change(os.path.dirname(where), lambda: os.makedirs(where, exist_ok=True)))
        self._system["rmdir"](path, dir_fd=dir_fd)

    def chmod(self, path: Any, mode: int, **more: Any) -> None:
        where = self._path(path)
        if where is not None:
            self.call("chmod", where, path)
        self._system["chmod"](path, mode, **more)

    def symlink(self, source: Any, target: Any, *arguments: Any, **more: Any) -> None:
        where = self._path(target)
        if where is not None:
            self.call("symlink", where, target)
            self._changes.append(Change(os.path.dirname(where), lambda: Path(where).unlink(missing_ok=True)))
        self._system["symlink"](source, target, *arguments, **more)

    def link(self, source: Any, target: Any, **more: Any) -> None:
        where = self._path(target)
        if where is not None:
            self.call("link", where, target)
            self._changes.append(Change(os.path.dirname(where), lambda: Path(where).unlink(missing_ok=True)))
        self._system["link"](source, target, **more)

    # --------------------------------------------------------------------------------------------------- a power cut

    def cut(self) -> None:
        """Names first, the last ones first; then bytes. By chance, the disk has written more than it was told to."""
        chance = random.Random(self.at)
        some = self.kind == "cut by chance"
        written = chance.randint(0, len(self._changes)) if some else 0  # names so far
        self._is_cut, self._cutter = True, threading.get_ident()
        for number, change in reversed(list(enumerate(self._changes))):
            if not change.durable and number >= written:
                change.undo()
        for inode, path in list(self._kept.items()):
            if some and chance.random() < 0.5:
                continue
            with self._open(path, "r+b") as file:
                now = file.read()
                safe = self._flushed[inode]
                if now != safe:
                    file.seek(0)
                    file.write(safe)
                    file.truncate()
        self._cutter = 0

    def _aside(self, path: str) -> Callable[[], None]:
        """What brings back the file, link or empty folder of this name, if there is one and a cut may want it."""
        if not self.cuts or not os.path.lexists(path):
            return lambda: None
        if os.path.isdir(path) and not os.path.islink(path):
            return lambda: os.makedirs(path, exist_ok=True)
        kept = self._link(path)
        return lambda: self._system["replace"](kept, path)

    def _link(self, path: str) -> Path:
        kept = self._limbo / str(next(self._numbers))
        self._system["link"](path, kept, follow_symlinks=False)
        return kept

    def _bytes(self, path: Path) -> bytes:
        with self._open(path, "rb") as file:
            content: bytes = file.read()
        return content

    def _path(self, path: Any, folder: int | None = None) -> str | None:
        """Where it is, if that is below the root."""
        if isinstance(path, int):
            return self._files.get(path)
        found = os.path.abspath(os.fspath(path))
        if folder is not None:  # as shutil.rmtree removes things
            found = f"{self._files.get(folder)}/{os.fspath(path)}"
        return found if f"{found}/".startswith(f"{self.root}/") else None


_CALLS = (
    "open", "fsync", "pread", "replace", "rename", "mkdir", "unlink", "remove", "rmdir", "chmod", "symlink", "link",
    "sendfile",
)  # fmt: skip


class _Raw(io.FileIO):
    """A file whose every read and write is a call."""

    def __init__(self, disk: Disk, path: str, file: str | int, mode: str) -> None:
        self._disk, self._path = disk, path
        if isinstance(file, str):
            disk.opening(path, mode != "r")
        super().__init__(file, mode)
        disk.opened(self.fileno(), path)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._disk.written(self._path, half=lambda: super(_Raw, self).write(view[: len(view) // 2]))
        return super().write(data)

    def readinto(self, buffer: Any) -> int:
        self._disk.read(self._path)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._disk.read(self._path)
        return super().readall()
