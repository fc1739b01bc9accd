"""Every call on the file system fails once, in turn: one line, nothing half-written is taken for whole, and running it
again ends in the same bytes. Toy steps write what real ones write, so a whole run takes milliseconds.

With `MADX_HOSTILE` (`make hostile`) every call fails; without, every fourth.
"""

import builtins
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from madx.config import InputError, RunError
from madx.formats.manifest import seal
from madx.formats.tensors import load_tensors, save_pickle, save_tensors
from madx.pipeline.plan import Plan
from madx.pipeline.run import Progress, run_plan
from madx.stages.session import Session
from madx.step import Result, Step, closure
from madx.store import Store
from madx.writing import write_bytes

STRIDE = 1 if "MADX_HOSTILE" in os.environ else 4
CALLS = ("open", "os.open", "os.fsync", "os.replace", "os.mkdir", "os.unlink", "os.chmod")


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
        content = (session.folder(self.text) / "train.bin").read_bytes()
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


def make(root: Path) -> list[Progress]:
    told: list[Progress] = []
    run_plan(toy_plan(), Session(Store(root), torch.device("cpu")), told.append)
    return told


def artefacts(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("done.json", ".running.json") and path.suffix != ".lock"
    }


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing is counted and fails as the rest does, and else takes no time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Killed(BaseException):
    """Nothing catches it to go on."""


class Faults:
    """The calls on files below `root`, counted; the one of number `at`, and with `persistent` all after it, fails."""

    def __init__(self, root: Path, at: int, error: Callable[[str], BaseException], persistent: bool) -> None:
        self.root, self.at, self.error, self.persistent, self.count = str(root), at, error, persistent, 0

    def failing(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def instead(*arguments: Any, **more: Any) -> Any:
            target = arguments[0]
            if name == "os.fsync" or (isinstance(target, (str, os.PathLike)) and str(target).startswith(self.root)):
                self.count += 1
                if self.count == self.at or (self.persistent and self.count > self.at):
                    if name == "open" and "w" in (arguments[1] if len(arguments) > 1 else more.get("mode", "r")):
                        with call(*arguments, **more) as file:  # half of it is written before the disk is full
                            file.write(b"hal" if "b" in file.mode else "hal")
                    raise self.error("" if name == "os.fsync" else str(target))  # which has no name to tell
            return call(*arguments, **more)

        return instead

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opener = self.failing(builtins.open, "open")
        monkeypatch.setattr(builtins, "open", opener)
        monkeypatch.setattr(io, "open", opener)
        for name in CALLS[1:]:
            function = name.removeprefix("os.")
            monkeypatch.setattr(os, function, self.failing(getattr(os, function), name))


ERRORS: dict[str, Callable[[str], BaseException]] = {
    "full": lambda path: OSError(errno.ENOSPC, "No space left on device", path),
    "broken": lambda path: OSError(errno.EIO, "Input/output error", path),
    "refused": lambda path: PermissionError(errno.EACCES, "Permission denied", path),
    "killed": lambda path: Killed(),
}


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_a_run_survives_a_fault_at_every_call(kind: str, persistent: bool, tmp_path: Path) -> None:
    make(tmp_path / "whole")
    wanted = artefacts(tmp_path / "whole")
    assert len(wanted) == 9
    root, number, failed, tried = tmp_path / "store", 1 - STRIDE, 0, 0
    while True:
        number, tried = number + STRIDE, tried + 1
        shutil.rmtree(root, ignore_errors=True)
        faults = Faults(root, number, ERRORS[kind], persistent)
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults.install(monkeypatch)
            try:
                make(root)
            except (RunError, InputError) as error:
                failed += 1
                assert kind != "killed", error  # noqa: PT017
                assert len(str(error).splitlines()) == 1  # noqa: PT017
                assert str(root) in str(error), number  # noqa: PT017
            except Killed:
                failed += 1
        reached = faults.count >= number
        make(root)  # the same command again
        assert artefacts(root) == wanted, (number, kind)
        if not reached:
            break
    assert number > 60, "the faults were not where the writing is"
    assert failed > 0.6 * tried


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
                told = make(tmp_path / "store")
                assert artefacts(tmp_path / "store") == wanted, path
                assert [progress.name for progress in told if progress.what == "done"] == [step.name, *above], path


def test_every_kind_of_damage_is_told_once(tmp_path: Path) -> None:
    make(tmp_path)
    text, adapter = toy_plan().steps[:2]
    (tmp_path / text.name / "done.json").write_bytes(b"\x00\xff")
    (tmp_path / adapter.name / "adapter.safetensors").write_bytes(b"x")
    shutil.rmtree(tmp_path / toy_plan().steps[-1].name)
    damaged = [progress.warnings[0] for progress in make(tmp_path) if progress.what == "damaged"]
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
