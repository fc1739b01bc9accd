"""Ctrl-C, SIGTERM and SIGUSR2, by which SLURM says that time is nearly over, wait for the end of an update, so that a
checkpoint of it can be written; a second one doesn't.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Interrupt:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.received is not None


@contextmanager
def waiting_interrupt() -> Iterator[Interrupt]:
    """Within, the first signal is only noted; after, it does what it would have done. Not in threads."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        interrupt.received = signal.Signals(number)
        put_back()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        put_back()
        if interrupt.received is not None:
            signal.raise_signal(interrupt.received)
