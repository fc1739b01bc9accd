"""Plans on workers that aren't at hand: what a schedule must be, and what the pages say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import jobs, table
from madx.pipeline.simulate import CORES, DISK, DRIVER, GPU, START, Job, simulate


def test_one_worker_makes_one_after_the_other_and_many_wait_for_the_longest_chain() -> None:
    chain = [Job("a", 100, 0), Job("b", 200, 0, ("a",)), *(Job(f"c{i}", 60, 0) for i in range(10))]
    alone = simulate(chain, 1, GPU)
    assert alone.seconds == pytest.approx(START + 900, abs=1)
    assert alone.limit == "workers"
    many = simulate(chain, 100, GPU)
    assert many.seconds == pytest.approx(START + 300, abs=1)
    assert many.limit == "the longest chain of steps"
    assert many.dollars == pytest.approx(many.seconds / 3600 * 100 * GPU.dollars_an_hour)
    assert alone.kwh == pytest.approx(alone.seconds / 3600 * GPU.watts / 1000)


def test_the_driver_and_the_disk_are_shared() -> None:
    quick = [Job(str(i), 0.01, 0) for i in range(1000)]
    found = simulate(quick, 1000, CORES)
    assert found.limit == "the driver"
    assert found.seconds == pytest.approx(START + 1000 * DRIVER, rel=0.01)
    large = [Job(str(i), 1, DISK) for i in range(100)]
    found = simulate(large, 100, CORES)
    assert found.limit == "the disk"
    assert found.seconds == pytest.approx(START + 101, rel=0.02)


def test_more_workers_take_less_and_no_schedule_beats_its_bounds() -> None:
    plan = jobs(0.1)
    assert len(plan) == 500 * 2 + 25 + 25 * 500
    work, before = sum(job.seconds for job in plan), float("inf")
    for workers in (1, 8, 64):
        found = simulate(plan, workers, GPU)
        assert work / workers < found.seconds < before
        assert 0 < found.busy <= 1
        before = found.seconds


def test_the_page_has_the_simulator_s_numbers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    for line in table():
        assert line in page, line


def test_a_users_plan_is_simulated(project: Path) -> None:
    command = [sys.executable, "-m", "madx", "run", "recipe.toml", "--dry-run", "--estimate"]
    rows: list[dict[str, Any]] = json.loads(
        subprocess.run([*command, "--json"], check=True, capture_output=True).stdout
    )
    assert [row["workers"] for row in rows] == [1, 8, 64]
    work = rows[0]["seconds"] * rows[0]["busy"]
    assert all(START + work / row["workers"] < row["seconds"] < START + work + 1 for row in rows)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "the limit" in out
    assert not (project / "results").exists() or not list((project / "results" / ".store").glob("*/done.json"))
