"""Every call on the file system fails once, in turn, or the power is cut there: one line, nothing half-written is taken
for whole, and running it again ends in the same bytes. Toy steps write what real ones do, so a run takes milliseconds.

With `MADX_HOSTILE` (`make hostile`) every call fails; without, every thirteenth.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from faulty_disk import ERRORS, Disk, Gone

from madx.config import RunError, named
from madx.formats.manifest import seal
from madx.formats.tensors import load_tensors, save_pickle, save_tensors
from madx.pipeline.plan import Plan
from madx.pipeline.run import Progress, run_plan
from madx.stages.session import Session
from madx.step import Result, Step, closure
from madx.store import Store
from madx.training.checkpoint import load_checkpoint, save_checkpoint
from madx.writing import write_bytes

STRIDE = 1 if "MADX_HOSTILE" in os.environ else 13


class ToyText(Step):
    stage: ClassVar[str] = "text"
    code: str

    @property
    def subject(self) -> str:
        return self.code

    def run(self, folder: Path, session: Session) -> Result:
        write_bytes(folder / "train.bin", self.code.encode() * 1000)
        return {"tokens": 1000, "warnings": []}


class ToyAdapter(Step):
    stage: ClassVar[str] = "language"
    text: ToyText

    @property
    def subject(self) -> str:
        return self.text.code

    def run(self, folder: Path, session: Session) -> Result:
        path = session.folder(self.text) / "train.bin"
        with named(path):
            content = path.read_bytes()
        tensors = {"a": torch.tensor([float(byte) for byte in content[:8]])}
        save_tensors(folder / "adapter.safetensors", tensors)
        save_pickle(folder / "pytorch_adapter.bin", tensors)
        seal(folder, {"kind": "language adapter", "language": self.subject})
        return {"held_out_loss": 1.5, "warnings": []}


class ToyScore(Step):
    stage: ClassVar[str] = "evaluation"
    adapters: tuple[ToyAdapter, ...]

    @property
    def subject(self) -> str:
        return "tags"

    def run(self, folder: Path, session: Session) -> Result:
        value = sum(float(load_tensors(session.folder(a) / "adapter.safetensors")["a"].sum()) for a in self.adapters)
        write_bytes(folder / "predictions.jsonl.gz", str(value).encode())
        return {"value": value, "warnings": []}


def toy_plan() -> Plan:
    last = ToyScore(adapters=tuple(ToyAdapter(text=ToyText(code=code)) for code in ("swe", "fao")))
    nothing: Any = None
    return Plan(recipe=nothing, encoder=nothing, steps=tuple(closure([last])))


def make(root: Path, tell: Callable[[Progress], None] = lambda told: None) -> None:
    run_plan(toy_plan(), Session(Store(root), torch.device("cpu")), tell)


def artefacts(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("done.json", ".running.json") and path.suffix != ".lock"
    }


def left_by(root: Path, disk: Disk) -> tuple[list[str], BaseException | None]:
    """The steps that were told to be done by a run on this disk, and what has ended it."""
    for place in (root, Path(f"{root}.limbo")):
        shutil.rmtree(place, ignore_errors=True)
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        try:
            make(root, lambda told: done.append(told.name) if told.what == "done" else None)
        except (RunError, Gone) as error:
            return done, error
    return done, None


def every_call(
    root: Path, kind: str, persistent: bool = False
) -> Iterator[tuple[Disk, list[str], BaseException | None]]:
    """A run on a new disk for each call that can fail, or every few of them; what it has left is in `root`."""
    at = 1
    while True:
        disk = Disk(root, kind, at, persistent)
        done, error = left_by(root, disk)
        if not disk.struck:
            break
        yield disk, done, error
        at += STRIDE
    assert disk.count > 60, "the faults were not where the writing is"


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("kind", [*ERRORS, "killed"])
def test_a_run_survives_a_fault_at_every_call(kind: str, persistent: bool, tmp_path: Path) -> None:
    make(tmp_path / "whole")
    wanted = artefacts(tmp_path / "whole")
    assert len(wanted) == 9
    root, tried, failed = tmp_path / "store", 0, 0
    for disk, _, error in every_call(root, kind, persistent):
        tried, failed = tried + 1, failed + (error is not None)
        if isinstance(error, RunError):
            assert kind != "killed", error
            assert len(str(error).splitlines()) == 1
            assert disk.named_in(str(error)), (str(error), disk.struck)
        else:
            assert kind == "killed" or error is None
        make(root)  # the same command again
        assert artefacts(root) == wanted, disk.struck[0]
    assert failed > 0.6 * tried


@pytest.mark.parametrize("kind", ["cut", "cut by chance"])
def test_a_power_cut_at_any_call_loses_nothing_that_was_finished(kind: str, tmp_path: Path) -> None:
    make(tmp_path / "whole")
    wanted = artefacts(tmp_path / "whole")
    root = tmp_path / "store"
    for disk, done, error in every_call(root, kind):
        assert isinstance(error, Gone)
        assert all(Store(root).is_whole(name) for name in done), disk.struck[0]
        told: list[Progress] = []
        make(root, told.append)
        assert not [progress for progress in told if progress.what == "damaged"], disk.struck[0]
        assert artefacts(root) == wanted, disk.struck[0]


@pytest.mark.parametrize("kind", ["cut", "cut by chance"])
def test_a_power_cut_leaves_the_last_checkpoint_or_the_one_before(kind: str, tmp_path: Path) -> None:
    at, saved = 0, -1
    while saved < 3:
        at, saved, folder = at + 1, -1, tmp_path / str(at)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            Disk(folder, kind, at).install(patch)
            with suppress(Gone):
                for step in range(4):
                    save_checkpoint(folder, {"step": step})
                    saved = step
        found, damaged = load_checkpoint(folder)
        assert (found or {"step": -1})["step"] in (saved, saved + 1), at
        assert not damaged
    assert at > 20


def test_what_a_killed_process_leaves_is_never_taken_for_whole(tmp_path: Path) -> None:
    make(tmp_path / "whole")
    wanted = artefacts(tmp_path / "whole")
    steps = toy_plan().steps
    for step in steps:
        for path in sorted((tmp_path / "whole" / step.name).iterdir()):
            for damage in (
                lambda p: p.unlink(),
                lambda p: p.write_bytes(p.read_bytes()[:-2]),
                lambda p: p.write_bytes(b""),
            ):
                shutil.rmtree(tmp_path / "store", ignore_errors=True)
                shutil.copytree(tmp_path / "whole", tmp_path / "store")
                damage(tmp_path / "store" / step.name / path.name)
                above = [other.name for other in steps if step in closure([other]) and other is not step]
                for name in above:  # so that the damaged step is read
                    shutil.rmtree(tmp_path / "store" / name)
                told: list[Progress] = []
                make(tmp_path / "store", told.append)
                assert artefacts(tmp_path / "store") == wanted, path
                assert [progress.name for progress in told if progress.what == "done"] == [step.name, *above], path


def test_every_kind_of_damage_is_told_once(tmp_path: Path) -> None:
    make(tmp_path)
    text, adapter = toy_plan().steps[:2]
    (tmp_path / text.name / "done.json").write_bytes(b"\x00\xff")
    (tmp_path / adapter.name / "adapter.safetensors").write_bytes(b"x")
    shutil.rmtree(tmp_path / toy_plan().steps[-1].name)
    told: list[Progress] = []
    make(tmp_path, told.append)
    damaged = [progress.warnings[0] for progress in told if progress.what == "damaged"]
    assert len(damaged) == 2
    assert all(line.endswith("it is made again") and len(line.splitlines()) == 1 for line in damaged)


def test_a_damaged_step_of_another_plan_stops_no_estimate(tmp_path: Path) -> None:
    from madx.pipeline.estimate import estimate

    make(tmp_path)
    (tmp_path / "language-xxx-000000000000").mkdir()
    (tmp_path / "language-xxx-000000000000" / "done.json").write_text(json.dumps({"seconds": "x"}))
    (tmp_path / "text-yyy-000000000000").mkdir()
    (tmp_path / "text-yyy-000000000000" / "done.json").mkdir()
    assert estimate(toy_plan(), Session(Store(tmp_path), torch.device("cpu"))) == {}
