"""Engines: what is handed out when, what a loss of workers does, what a step needs, and what can be seen meanwhile."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from madx.config import RunError
from madx.pipeline.engines import needs as needs_module
from madx.pipeline.engines import slurm
from madx.pipeline.engines.engine import Event, Needs
from madx.pipeline.engines.make import make_step
from madx.pipeline.engines.needs import needs_of
from madx.pipeline.engines.running import noted, relay, running_in
from madx.pipeline.engines.slurm import Slurm, _grouped
from madx.pipeline.run import TRIES, Progress, run_plan
from madx.stages.session import Session
from madx.step import Step
from madx.store import Store
from tests.reliability.test_faults import artefacts, toy_plan


class Flaky:
    """Makes what it is given in the opposite order, all at once; loses each step so many times first."""

    def __init__(self, session: Session, losses: int = 0) -> None:
        self.session, self.losses = session, losses
        self.given: list[list[str]] = [[]]
        self.needs: list[Needs] = []
        self._queue: list[Step] = []
        self._lost: dict[str, int] = {}

    def submit(self, step: Step, needs: Needs) -> None:
        assert all(self.session.store.is_done(below.name) for below in step.upstream)
        self._queue.append(step)
        self.given[-1].append(step.stage)
        self.needs.append(needs)

    def results(self) -> Iterator[Event]:
        queue, self._queue = self._queue[::-1], []
        self.given.append([])
        for step in queue:
            self._lost[step.name] = self._lost.get(step.name, 0) + 1
            if self._lost[step.name] <= self.losses:
                yield Event(step.name, "lost", "killed")
                continue
            with self.session.store.claim(step.name) as folder:
                assert folder is not None
                make_step(step, folder, self.session)
            yield Event(step.name, "done")


def session_in(folder: Path) -> Session:
    return Session(Store(folder), torch.device("cpu"))


def test_an_engine_is_given_all_that_can_be_made(tmp_path: Path) -> None:
    session, told = session_in(tmp_path / "a"), list[Progress]()
    engine = Flaky(session)
    run_plan(toy_plan(), session, told.append, engine, needs=lambda step: Needs(cores=len(step.upstream)))
    assert engine.given == [["text"] * 2, ["language"] * 2, ["evaluation"], []]
    assert [needs.cores for needs in engine.needs] == [0, 0, 1, 1, 2]
    assert {progress.what for progress in told} == {"done"}
    run_plan(toy_plan(), session_in(tmp_path / "b"), told.append)
    assert artefacts(tmp_path / "a") == artefacts(tmp_path / "b")


def test_a_lost_step_is_made_again_but_not_for_ever(tmp_path: Path) -> None:
    session, told = session_in(tmp_path / "a"), list[Progress]()
    run_plan(toy_plan(), session, told.append, Flaky(session, losses=TRIES - 1))
    assert sum(progress.what == "lost" for progress in told) == 5 * (TRIES - 1)
    session = session_in(tmp_path / "b")
    with pytest.raises(RunError, match="lost 4 times with its worker"):
        run_plan(toy_plan(), session, told.append, Flaky(session, losses=TRIES))


def test_what_was_damaged_is_given_out_before_what_stands_on_it(tmp_path: Path) -> None:
    run_plan(toy_plan(), session_in(tmp_path), lambda progress: None)
    wanted = artefacts(tmp_path)
    (score,) = tmp_path.glob("evaluation-*/done.json")
    score.unlink()
    for path in tmp_path.glob("language-*/adapter.safetensors"):
        path.write_bytes(b"damaged")
    session, told = session_in(tmp_path), list[Progress]()
    engine = Flaky(session)
    run_plan(toy_plan(), session, told.append, engine)
    assert engine.given == [["language"] * 2, ["evaluation"], []]
    assert sum(progress.what == "damaged" for progress in told) == 2
    assert artefacts(tmp_path) == wanted


def test_needs_are_what_finished_steps_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, session = toy_plan(), session_in(tmp_path)
    run_plan(plan, session, lambda progress: None)
    took = {step.stage: session.store.result(step.name)["memory_mb"] for step in plan.steps}
    monkeypatch.setattr(session, "encoder", lambda ref: type("Encoder", (), {"width": 64})())
    needs = needs_of(plan, session, {plan.steps[1].name: 90.0})
    assert needs(plan.steps[1]) == Needs(1, 0.0, int(1.25 * max(took["language"], 0)), 1.5)
    session.device = torch.device("cuda")
    total = type("Properties", (), {"total_memory": 16 * took["language"] << 20})()
    monkeypatch.setattr(needs_module.torch.cuda, "get_device_properties", lambda device: total)
    assert needs_of(plan, session, {})(plan.steps[1]).gpus == 0.125  # 1.25 of 16 parts, in eighths


def test_an_allocation_takes_steps_that_need_the_same() -> None:
    texts, wide = toy_plan().steps[:2], Needs(cores=8, minutes=1)
    steps = [(texts[0], Needs(minutes=20))] * 5 + [(texts[1], wide)] * 2
    assert [len(group) for group in _grouped(steps, 60)] == [3, 2, 2]
    assert [len(group) for group in _grouped(steps, 0)] == [1] * 7
    assert all(len({needs.cores for _, needs in group}) == 1 for group in _grouped(steps, 60))


def test_a_training_can_be_seen_from_elsewhere(tmp_path: Path, project: Path) -> None:
    step = toy_plan().steps[0]
    store = project / "results" / ".store"
    session, heard = session_in(store), list[Any]()
    look = relay(Session(Store(store), torch.device("cpu"), watch=lambda *told: heard.append(told)))

    def status() -> dict[str, Any]:
        command = [sys.executable, "-m", "madx", "status", "results", "--json"]
        seen: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return seen

    with session.store.claim(step.name) as folder:
        assert folder is not None
        with noted(folder, session):
            session.watch("language adapter swe", 20, 100, {"loss": 1.5, "tokens_per_s": 7})
            look()
            (row,) = status()["unfinished"]
            assert (row["name"], row["done"], row["total"], row["stopped"]) == (step.name, 20, 100, False)
            note = (folder / ".running.json").read_text()
    assert heard == [("language adapter swe", 20, 100, {"loss": 1.5, "tokens_per_s": 7})]
    assert status()["unfinished"] == []
    (folder / ".running.json").write_text(note)  # as a killed process leaves it
    assert status()["unfinished"][0]["stopped"]
    with session.store.claim(step.name) as folder:
        assert folder is not None
        make_step(step, folder, session)
    assert status() == {"finished": 1, "unfinished": []}
    assert not running_in(session.store)


def test_a_scheduler_that_is_silent_for_long_ends_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "ASK", 0.0)
    executor: Any = None
    driver = Slurm(tmp_path, Session(Store(tmp_path), torch.device("cpu")), executor, 0, False)
    answers = iter([(1, "")] * (slurm.SILENT - 1) + [(0, "17\n18\n")] + [(1, "")] * slurm.SILENT)

    def squeue(*arguments: Any, **options: Any) -> Any:
        code, said = next(answers)
        return subprocess.CompletedProcess([], code, said, "slurm_load_jobs error: Unable to contact slurm controller")

    monkeypatch.setattr(slurm.subprocess, "run", squeue)
    assert [driver._queued() for _ in range(slurm.SILENT)] == [None] * (slurm.SILENT - 1) + [{"17", "18"}]
    assert [driver._queued() for _ in range(slurm.SILENT - 1)] == [None] * (slurm.SILENT - 1)
    with pytest.raises(RunError, match="Unable to contact slurm controller"):
        driver._queued()


@pytest.mark.parametrize(("said", "counts"), [("1\n1\n", False), ("1\n64000+\n", True), ("", True)])
def test_memory_is_asked_for_where_a_cluster_counts_it(
    said: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that share an allocation get the most that one of them needs."""
    asked: dict[str, Any] = {}

    class Executor:
        def update_parameters(self, **parameters: Any) -> None:
            asked.update(parameters)

        def submit(self, job: Any) -> Any:
            return None

    monkeypatch.setattr(slurm.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess([], 0, said, ""))
    executor: Any = Executor()
    driver = Slurm(tmp_path, Session(Store(tmp_path), torch.device("cpu")), executor, 60, slurm.counts_memory())
    for seed, memory in ((1, None), (2, 3000), (3, 500)):
        step: Any = SimpleNamespace(name=f"task-{seed}")
        driver.submit(step, Needs(1, memory_mb=memory, minutes=1.0))
    driver._send(_grouped(driver._queue, 60)[0])
    assert asked["mem"] == ("4024M" if counts else None)
    assert asked["job_name"] == "madx-3-steps"
