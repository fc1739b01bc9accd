"""How the command ends: one line and a status, whatever ends it; and its helpers end with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from madx.cli import main

WAITS = """
import sys, time
import madx.sharing.fetch as fetch
def wait(address):
    print("here", flush=True)
    time.sleep(60)
fetch.entries_of = wait
sys.argv = ["madx", "adapters", "list", "--from", "a/b"]
from madx.cli import main
main()
"""
HELPED = """
import multiprocessing, pickle, time
from madx.pipeline.helper import help_out
class Slow:
    def __reduce__(self):
        return time.sleep, (60,)
if __name__ == "__main__":
    new = multiprocessing.get_context("spawn")
    here, there = new.Pipe(duplex=False)
    process = new.Process(target=help_out, args=(pickle.dumps(Slow()), there), daemon=True)
    process.start()
    print(process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [(EOFError("No data left in file"), "error: a file ended too early: No data left in file"),
     (OSError(28, "No space left on device", "/x"), "error: /x: No space left on device; what was finished is safe: "
      "put that right and run the same command again"),
     (ValueError("\x1b[2Jx"), "error: \\x1b[2Jx")],
)  # fmt: skip
def test_every_failure_is_a_line_and_status_1(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(address: object) -> None:
        raise error

    monkeypatch.setattr("madx.sharing.fetch.entries_of", fail)
    monkeypatch.setattr(sys, "argv", ["madx", "adapters", "list", "--from", "a/b"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines()[0] == line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["languages"]])  # told at the end; and before it, which is much
def test_a_full_disk_under_what_is_printed_is_a_line(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "madx", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    safe = "what was finished is safe: put that right and run the same command again"
    assert done.stderr == f"error: standard output: No space left on device; {safe}\n"


@pytest.mark.parametrize(("number", "status", "lines"), [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 0)])
def test_signals_end_it_with_their_status(number: signal.Signals, status: int, lines: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert len(said.splitlines()) == lines, said


def test_a_helper_ends_when_the_process_that_it_helps_is_killed(tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(tmp_path, "helped.py")
    with open(script, "w") as file:
        file.write(HELPED)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    helper = int(process.stdout.readline())
    wait_for(lambda: threads(helper) > 1, 30)  # it watches
    began = time.monotonic()
    process.kill()
    process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{helper}") or state(helper) == "Z", 30)
    assert time.monotonic() - began < 2


def threads(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/task"))


def state(process: int) -> str:
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
