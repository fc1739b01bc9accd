"""The same plan on a real SLURM: the same bytes, also after time ran out, a job was cancelled and the driver killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.killing import STORE, kill_often, many_kills, undisturbed, weights
from tests.pipeline.slurm_here import slurm_here, why_not

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'madx-adapters[slurm]'")
pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no SLURM: {why_not()}")
SETTINGS = ("--set", 'methods=["madx"]', "--set", "seeds=[1]", "--set", "language_adapter.steps=600")
PLAIN = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_here(tmp_path_factory.mktemp("slurm")) as environment:
        yield {**environment, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MADX_CHECKPOINT_SECONDS": "0.5"}


def start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "madx", "run", "recipe.toml", *SETTINGS, *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(pattern: str, driver: "subprocess.Popen[str]", text: str = "") -> None:
    """Until a file of the store is there, and has such a text."""
    deadline = time.monotonic() + 240
    while not any(text in path.read_text(errors="ignore") for path in STORE.glob(pattern)):
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, pattern
        time.sleep(0.02)


def to_running_jobs(environment: dict[str, str], *arguments: str) -> None:
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%A", "--states=R"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    for job in asked.stdout.split():
        subprocess.run(["scancel", *arguments, job], env=environment, check=True)


def test_slurm_makes_the_same_bytes_whatever_happens(project: Path, slurm: dict[str, str]) -> None:
    driver = start(slurm, "--engine", "slurm")
    # SLURM's signal before time is over: queued again as the same job, from the checkpoint of the last update
    wait_for("language-*/checkpoint-*.pt", driver)
    to_running_jobs(slurm, "--signal=USR2")
    wait_for(".slurm/*_log.err", driver, "Caught signal SIGUSR2")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    # another driver, while jobs of the first one wait; then all that runs is cancelled
    driver = start(slurm, "--engine", "slurm", "--job-minutes", "0")
    wait_for("language-*/checkpoint-*.pt", driver)
    to_running_jobs(slurm)
    _, error = driver.communicate()
    assert driver.returncode == 0, error
    assert weights(STORE) == undisturbed(start(PLAIN, "--results", "alone")) != {}
    # steps of a kind whose memory is known by now, on nodes of which nobody has said how much they have
    driver = start(slurm, "--engine", "slurm", "--set", "seeds=[1, 2]", "--set", 'name="more"')
    _, error = driver.communicate()
    assert driver.returncode == 0, error
    assert Path("results/tiny/scores.csv").read_text() == Path("alone/tiny/scores.csv").read_text()


@many_kills
def test_many_kills_lose_nothing(project: Path, slurm: dict[str, str]) -> None:
    want = undisturbed(start(PLAIN, "--results", "alone"))
    killed = kill_often(lambda: start(slurm, "--engine", "slurm"), want, seed=2)
    print(f"SLURM: {killed['driver']} drivers and {killed['worker']} workers killed")
