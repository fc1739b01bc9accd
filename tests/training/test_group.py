"""Several processes at one training end where one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
SETTINGS = ("--set", 'methods=["madx"]', "--set", "seeds=[1]")


def run(*arguments: str, launcher: tuple[str, ...] = ()) -> None:
    command = [sys.executable, "-m", *launcher, "madx", "run", "recipe.toml", *SETTINGS, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr


def weights(store: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in store.glob("*-*/*.safetensors")
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize(
    "launcher", [(), ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "-m")]
)
def test_two_processes_end_in_the_parameters_of_one(project: Path, launcher: tuple[str, ...]) -> None:
    run("--results", "alone")
    run("--results", "together", *([] if launcher else ["--processes", "2"]), launcher=launcher)
    alone, together = weights(Path("alone/.store")), weights(Path("together/.store"))
    assert alone.keys() == together.keys()
    assert len(alone) > 20
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    for path in Path("alone/.store").glob("*-*/done.json"):
        one, other = (json.loads((Path(root) / ".store" / path.parent.name / "done.json").read_text())["result"]
                      for root in ("alone", "together"))  # fmt: skip
        assert one.get("tokens") == other.get("tokens")
        assert one.get("steps") == other.get("steps")
        if "last_loss" in one:
            assert one["last_loss"] == pytest.approx(other["last_loss"], rel=1e-4)


def test_both_take_part(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is equal by one process's doing all of it."""
    from madx.training.group import Group

    assert Group(0, 2).share(range(5)) == range(0, 5, 2)
    assert Group(1, 2).share(range(5)) == range(1, 5, 2)
    assert Group(1, 2).seed("dropout", 1, 2) != Group(0, 2).seed("dropout", 1, 2) == Group().seed("dropout", 1, 2)
