"""Who makes a step, where, and how far it is: a small file in the step's folder, for `madx status` and for drivers."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from madx.stages.session import Session
from madx.store import Store

FILE = ".running.json"  # hidden, so it is none of the step's files
EVERY = 2.0  # seconds between two notes


class Running(NamedTuple):
    """A step that is being made, or was when its process ended."""

    name: str
    host: str
    pid: int
    since: float  # seconds since 1970, by that host's clock
    label: str = ""
    done: int = 0  # updates
    total: int = 0
    numbers: dict[str, Any] = {}


@contextmanager
def noted(folder: Path, session: Session) -> Iterator[None]:
    """Within, the folder says who works in it, and how far a training has come."""
    me = Running(folder.name, socket.gethostname(), os.getpid(), time.time())
    watch, noted_at = session.watch, 0.0

    def watch_and_note(label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
        nonlocal noted_at
        watch(label, done, total, numbers)
        if time.monotonic() - noted_at > EVERY:
            noted_at = time.monotonic()
            _write(folder, me._replace(label=label, done=done, total=total, numbers=numbers))

    _write(folder, me)
    session.watch = watch_and_note
    try:
        yield
    finally:
        session.watch = watch
        with suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def _write(folder: Path, running: Running) -> None:
    """Whole or not at all; nobody needs it after a crash, so the disk isn't waited for."""
    beside = folder / f"{FILE}.{running.pid}.part"
    with suppress(OSError):  # a step doesn't fail for its progress
        try:
            beside.write_text(json.dumps(running._asdict()), encoding="utf-8")
            os.replace(beside, folder / FILE)
        finally:
            beside.unlink(missing_ok=True)


def running_in(store: Store) -> list[Running]:
    """The notes of unfinished steps, the oldest first; who wrote one may have been killed: see Store.is_claimed."""
    found = []
    for path in store.root.glob(f"*/{FILE}"):
        with suppress(OSError, ValueError, TypeError):  # finished while we look, or changed by hand
            found.append(Running(**json.loads(path.read_text(encoding="utf-8"))))
    found = [one for one in found if not store.is_done(one.name)]
    return sorted(found, key=lambda running: running.since)


def relay(session: Session) -> Callable[[], None]:
    """A function that tells `session.watch` what other processes have noted; looks every few seconds at most."""
    looked, told = 0.0, dict[str, int]()

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked < EVERY:
            return
        looked = time.monotonic()
        for one in running_in(session.store):
            if one.total and told.get(one.name) != one.done:
                told[one.name] = one.done
                session.watch(one.label, one.done, one.total, one.numbers)

    return look
