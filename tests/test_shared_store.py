"""Finished steps that machines without a common disk share, at an address."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reliability.test_faults import artefacts, toy_plan

from madx.config import InputError, RunError
from madx.pipeline.run import Progress, run_plan
from madx.shared import Shared
from madx.stages.session import Session
from madx.store import Store

Machine = Callable[[str], list[Progress]]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def machine(tmp_path: Path, there: Path) -> Machine:
    """Runs the toy plan on a machine of this name, and says what became of its steps."""

    def run(name: str) -> list[Progress]:
        told: list[Progress] = []
        store = Store(tmp_path / name, Shared(f"file://{there}"))
        run_plan(toy_plan(), Session(store, torch.device("cpu")), told.append)
        return told

    return run


def test_what_one_machine_has_made_another_one_has(machine: Machine, tmp_path: Path, there: Path) -> None:
    assert {p.what for p in machine("first")} == {"start", "done"}
    assert {p.what for p in machine("second")} == {"reused"}
    # the score is read, and so fetched; what it was made from is not needed
    score = next((tmp_path / "second").glob("evaluation-*"))
    assert artefacts(score) == artefacts(tmp_path / "first" / score.name)
    assert not list((tmp_path / "second").glob("text-*"))
    assert not list(there.rglob("*.part"))


def test_what_is_missing_is_made_from_what_was_fetched(machine: Machine, tmp_path: Path, there: Path) -> None:
    machine("first")
    wanted = artefacts(tmp_path / "first")
    (score,) = there.glob("evaluation-*")
    shutil.rmtree(score)
    told = machine("second")
    assert [p.what for p in told if p.name == score.name] == ["start", "done"]
    assert {p.what for p in told if p.name != score.name} == {"reused"}
    assert artefacts(tmp_path / "second").items() <= wanted.items()
    assert len(list((tmp_path / "second").glob("language-*"))) == 2
    assert (score / "done.json").exists()  # sent again


def test_half_a_step_is_not_taken_for_a_whole_one(machine: Machine, tmp_path: Path, there: Path) -> None:
    machine("first")
    for done in there.glob("*/done.json"):
        done.unlink()
    assert {p.what for p in machine("second")} == {"start", "done"}


@pytest.mark.parametrize("file", ["done.json", "predictions.jsonl.gz"])
def test_what_is_damaged_there_is_made_again_and_sent_again(
    machine: Machine, tmp_path: Path, there: Path, file: str
) -> None:
    machine("first")
    (score,) = there.glob("evaluation-*")
    (score / file).write_bytes(b"{}")
    told = machine("second")
    assert [p.what for p in told if p.name == score.name][-1] == "done"
    assert artefacts(tmp_path / "second").items() <= artefacts(tmp_path / "first").items()
    assert {p.what for p in machine("third")} == {"reused"}


def test_what_was_finished_before_it_was_shared_is_sent(machine: Machine, tmp_path: Path, there: Path) -> None:
    run_plan(toy_plan(), Session(Store(tmp_path / "first"), torch.device("cpu")), lambda told: None)
    machine("first")
    assert {p.what for p in machine("second")} == {"reused"}


def test_a_place_that_fails_is_one_line_and_nothing_is_lost(
    machine: Machine, tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*arguments: object) -> None:
        raise TimeoutError("the bucket doesn't answer\nat all")

    with monkeypatch.context() as patched:
        patched.setattr("fsspec.implementations.local.LocalFileSystem.put_file", down)
        with pytest.raises(RunError, match="the bucket doesn't answer; what was finished here is safe") as raised:
            machine("first")
    assert "\n" not in str(raised.value)
    assert [p.what for p in machine("first")].count("reused") == 1  # the step that couldn't be sent
    assert {p.what for p in machine("second")} == {"reused"}


def test_a_foreign_list_of_files_leads_nowhere(machine: Machine, tmp_path: Path, there: Path) -> None:
    from madx.store import _seal

    machine("first")
    (score,) = there.glob("evaluation-*")
    done = json.loads((score / "done.json").read_text())
    del done["seal"]
    done["files"]["../../elsewhere"] = "0" * 64
    (score / "done.json").write_text(json.dumps({**done, "seal": _seal(done)}))
    with pytest.raises(InputError, match="leads out of"):
        machine("second")
    assert not list(tmp_path.rglob("elsewhere"))


def test_an_address_that_nothing_reads_is_said_without_its_password() -> None:
    with pytest.raises(InputError, match=r"--shared ftq://host/x: Protocol not known"):
        Shared("ftq://me:secret@host/x")
    assert str(Shared("memory://a/b")) == "memory://a/b"
