"""The same plan on Ray: the same bytes, also where a worker is killed in the middle of a step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.killing import STORE, kill_often, many_kills, undisturbed, weights

pytest.importorskip("ray", reason="Ray is not installed: pip install 'madx-adapters[ray]'")
SETTINGS = ("--set", 'methods=["madx"]', "--set", "seeds=[1]", "--set", "language_adapter.steps=200")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MADX_CHECKPOINT_SECONDS": "0"}


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "madx", "run", "recipe.toml", *SETTINGS, *arguments]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def worker_of(pattern: str, driver: "subprocess.Popen[str]", after: int = 0) -> int:
    """The process that makes a step, once it has written a checkpoint; another one than `after`."""
    deadline = time.monotonic() + 240
    while True:
        for note in STORE.glob(f"{pattern}/.running.json"):
            pid = int(json.loads(note.read_text())["pid"])
            if pid != after and list(STORE.glob(f"{pattern}/checkpoint-*.pt")):
                return pid
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ray_makes_the_same_bytes_whatever_is_killed(project: Path) -> None:
    driver = start("--engine", "ray", "--jobs", "2")
    worker = worker_of("language-swe-*", driver)
    assert worker != driver.pid
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert not list(STORE.glob("language-swe-*/done.json"))
    driver = start("--engine", "ray", "--jobs", "2")
    os.kill(worker_of("language-swe-*", driver, after=worker), signal.SIGKILL)
    _, error = driver.communicate()
    assert driver.returncode == 0, error
    assert "its worker is gone" in error
    assert weights(STORE) == undisturbed(start("--results", "alone")) != {}
    assert Path("results/tiny/scores.csv").read_text() == Path("alone/tiny/scores.csv").read_text()


@many_kills
def test_many_kills_lose_nothing(project: Path) -> None:
    want = undisturbed(start("--results", "alone"))
    killed = kill_often(lambda: start("--engine", "ray", "--jobs", "2"), want, seed=1)
    print(f"Ray: {killed['driver']} drivers and {killed['worker']} workers killed")
