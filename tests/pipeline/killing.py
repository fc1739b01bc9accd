"""Kills of whoever works on a plan, one after the other, at moments drawn by chance."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

KILLS = int(os.environ.get("MADX_ENGINE_KILLS", "0"))  # of drivers, and as many of workers: `make hostile`
STORE = Path("results/.store")
many_kills = pytest.mark.skipif(
    not KILLS, reason="MADX_ENGINE_KILLS names no number: `make hostile` kills drivers and workers often"
)


def weights(store: Path) -> dict[str, bytes]:
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in store.glob("*-*/*.safetensors")}


def undisturbed(driver: "subprocess.Popen[str]") -> dict[str, bytes]:
    """What a plain run into alone/ leaves."""
    _, error = driver.communicate()
    assert driver.returncode == 0, error
    return weights(Path("alone/.store"))


def workers() -> list[int]:
    """Processes that are in the middle of a step."""
    found = []
    for note in STORE.glob("*/.running.json"):
        with suppress(OSError, ValueError, KeyError):
            found.append(int(json.loads(note.read_text())["pid"]))
    return found


def kill_often(start: "Callable[[], subprocess.Popen[str]]", want: dict[str, bytes], seed: int) -> Counter[str]:
    """Drivers and workers in turn, `KILLS` of each; whenever a run ends, it has ended well, with the wanted bytes.

    A run that is whole is deleted, so that there is work to kill.
    """
    rng, killed, driver = random.Random(seed), Counter[str](), start()
    while True:
        enough = min(killed["driver"], killed["worker"]) >= KILLS
        if driver.poll() is not None:
            _, error = driver.communicate()
            assert driver.returncode == 0, error
            assert weights(STORE) == want
            if enough:
                return killed
            shutil.rmtree("results")
            driver = start()
        elif enough or not (at := workers()):
            time.sleep(0.05)
        else:
            time.sleep(rng.random() * 2)
            if killed["driver"] <= killed["worker"]:
                driver.send_signal(signal.SIGKILL)
                driver.communicate()
                killed["driver"] += 1
                driver = start()
            else:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(at), signal.SIGKILL)
                    killed["worker"] += 1
                time.sleep(0.5)  # until it is seen
