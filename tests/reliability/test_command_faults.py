"""A disk that is full, broken or closed to us, under every command that writes outside of a run's steps: one line that
names the file, nothing half-written is taken for a result, and the same command again makes it.

`MADX_COMMAND_FAULTS` says how many calls of each command fail (`make hostile`: 200), drawn by chance where it has more.
"""

import io
import json
import os
import random
import re
import shutil
import signal
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from faulty_disk import ERRORS, Disk

from madx import cli
from madx.prediction import onnx

FAULTS = int(os.environ.get("MADX_COMMAND_FAULTS", "2"))
OLDER = "language-swe-111111111111"
COMMANDS = {
    "report": "report results/tiny",
    "report --all": "report results --all",
    "init": "init swe.txt --language swe --labels swe.tsv --to new",
    "predict": "predict results/tiny said.txt --language swe --device cpu --quiet --output out.tsv",
    "export": "export results/tiny --language swe --to new",
    "adapters import": "adapters import {adapter} --to new --model {model}",
    "adapters export": "adapters export {adapter} --to new --model {model}",
    "adapters pull": "adapters pull place/swe --to new",
    "adapters push": "adapters push {adapter} ./place/swe",
    "adapters push, the first": "adapters push {adapter} ./elsewhere/swe",
    "models export": "models export {model} new",
    "store prune": "store prune --yes",
    "curve": "curve recipe.toml --lines 10000 --quiet --device cpu",
    "drop": "drop recipe.toml --layers 0-1 --quiet --device cpu",
    "prune": "prune recipe.toml --sparsity 0.5 --quiet --device cpu",
    "personal": "personal results/tiny --labels swe.tsv --language swe --epochs 1 --to new --device cpu",
}


def madx(line: str, disk: Disk) -> tuple[int, str]:
    """Its status and what it said of an error, on this disk."""
    said, before = io.StringIO(), signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said), redirect_stdout(io.StringIO()):
        patch.setattr("sys.argv", ["madx", *line.split()])
        patch.setattr(tempfile, "tempdir", f"{disk.root}/tmp")
        disk.install(patch)
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            signal.signal(signal.SIGTERM, before)
    return int(ended.value.code or 0), said.getvalue()


@pytest.fixture(scope="module")
def before(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, an unused and an unfinished step, and a place that publishes an adapter under an older card."""
    folder = tmp_path_factory.mktemp("before") / "project"
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "said.txt").write_text("hunden sover\nen katt äter\n")
    (folder / "tmp").mkdir()
    store = folder / "results" / ".store"
    (store / "language-xxx-000000000000").mkdir()
    (store / "language-xxx-000000000000" / "adapter.safetensors").write_bytes(b"half")
    shutil.copytree(next(store.glob("language-swe-*")), store / OLDER)
    older = store / OLDER / "madx.json"
    older.write_text(json.dumps({**json.loads(older.read_text()), "held_out_loss": {"before": 9.0, "after": 8.0}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for adapter, name in ((next(store.glob("language-eng-*")), "eng"), (older.parent, "swe")):
            assert madx(f"adapters push {adapter} ./place/{name}", Disk(folder, "broken", 0)) == (0, "")
    return folder


def seen(folder: Path) -> dict[str, object]:
    """What a reader finds there: not what is hidden, nor for how long something took."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") and part != ".store" for part in place.parts)
        if not path.is_file() or hidden or place.parts[0] == "tmp" or path.name in ("log.jsonl", "drop-speed.svg"):
            continue
        content = found[str(place)] = path.read_bytes()
        if path.name == "done.json":
            found[str(place)] = json.loads(content)["files"]
        elif path.name == "drop.csv":
            found[str(place)] = [line.rpartition(b",")[0] for line in content.splitlines()]
    return found


def graph(logits: object, path: Path, device: object) -> None:
    """In the exporter's place, which takes half a minute where every call is watched."""
    with open(path, "wb") as file:
        file.write(b"graph" * 1000)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_fault_under_a_command_is_one_line_and_no_half_result(
    name: str, before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_trace", graph)
    monkeypatch.setattr(onnx, "_difference", lambda logits, path, encoder: 0.0 * len(path.read_bytes()))
    found_adapters = before.glob("results/.store/language-swe-*")
    adapter = next(path for path in found_adapters if path.name != OLDER).relative_to(before)
    model = re.search('model = "(.*)"', (before / "recipe.toml").read_text())
    assert model is not None
    line = COMMANDS[name].format(adapter=adapter, model=model[1])
    root, had = tmp_path / "cut", seen(before)

    def on(kind: str, at: int, persistent: bool = False) -> tuple[int, str, Disk]:
        disk = Disk(root, kind, at, persistent)
        return *madx(line, disk), disk

    def afresh() -> None:
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root, symlinks=True)
        monkeypatch.chdir(root)

    afresh()
    status, said, undisturbed = on("broken", 0)
    assert status == 0, said
    assert undisturbed.calls.total() > 10, "the faults would not be where the writing is"
    wanted = seen(root)
    chance = random.Random(name)
    possible = [
        (kind, at, persistent)
        for kind, (_, meets) in ERRORS.items()
        for at in range(1, sum(n for what, n in undisturbed.calls.items() if meets is None or what in meets) + 1)
        for persistent in (False, True)
    ]
    ends = Counter[int]()
    for kind, at, persistent in chance.sample(possible, min(FAULTS, len(possible))):
        afresh()
        status, said, disk = on(kind, at, persistent)
        where = f"{line}: {kind}{persistent * ', from there on'} at {at}: {disk.struck[:1]}: {said}"
        ends[status] += 1
        found = seen(root)
        if status == 0:
            assert found == wanted, where
            continue
        assert status in (1, 2), where
        assert len(said.splitlines()) == 1, where
        assert said.startswith("error: "), where
        assert disk.named_in(said), where
        assert status == 2 or "what was finished is safe" in said or "cannot be read" in said, where
        assert persistent or had.keys() & wanted.keys() <= found.keys(), where  # else what was there may be aside
        for path, content in found.items():
            assert content in (had.get(path), wanted.get(path)), (path, where)
        status, said, _ = on("broken", 0)
        whole = persistent and "is there already" in said  # a disk that failed from there on took nothing back
        assert status == 0 or whole, (where, said)
        after = seen(root)
        assert after == wanted, (where, {p for p in wanted if after.get(p) != wanted[p]})
    print(f"{name}: {dict(ends)} of {undisturbed.calls.total()} calls")
