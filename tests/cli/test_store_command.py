"""The store seen from outside, and filters of the catalogue."""

import json
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

import madx
from madx.cli import app
from madx.config import InputError, RunError


def told(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_listed_measured_verified_and_pruned(project: Path) -> None:
    few = ['methods=["task-only"]', "seeds=[1]"]
    madx.run("recipe.toml", overrides=few, device="cpu")
    madx.train_task("tags", *[str(_model(project))], method="task-only", catalog=[project], seed=9, device="cpu",
                    task_adapter={"epochs": 1})  # fmt: skip
    store = project / "results" / ".store"
    (store / "language-xxx-000000000000").mkdir()
    rows = json.loads(told("store", "list", "--json"))
    assert {row["step"] for row in rows} == {p.name for p in store.glob("[a-z]*-*")}
    assert [row["status"] for row in rows if row["step"].startswith("language-xxx")] == ["unfinished"]
    assert sum(json.loads(told("store", "size", "--json")).values()) == sum(row["bytes"] for row in rows)
    assert told("store", "verify").endswith("4 whole, 0 damaged, 1 unfinished\n")

    unused = json.loads(told("store", "prune", "--json"))["unused"]
    assert len(unused) == 2
    assert all((store / name).exists() for name in unused)
    with FileLock(store / ".language-xxx-000000000000.lock"):
        removed = json.loads(told("store", "prune", "--yes", "--json"))["removed"]
    assert len(removed) == 1
    assert (store / "language-xxx-000000000000").exists()  # somebody works on it
    assert "everything is reused" not in told("store", "prune", "--yes")
    assert madx.run("recipe.toml", overrides=few, device="cpu").scores.shape[0] > 0

    (task,) = store.glob("task-tags-*/adapter.safetensors")
    task.write_bytes(b"x")
    with pytest.raises(RunError, match="1 of the steps are damaged"):
        told("store", "verify")


def _model(project: Path) -> Path:
    line = next(line for line in (project / "recipe.toml").read_text().splitlines() if line.startswith("model"))
    return Path(line.split('"')[1])


def test_languages_are_filtered() -> None:
    def codes(*words: str) -> set[str]:
        return {line.split("\t")[0] for line in told("languages", *words).splitlines()}

    assert {"fao", "swe"} <= codes("--family", "Germanic", "--script", "Latn")
    assert not {"yid", "fin"} & codes("--family", "Germanic", "--script", "Latn")
    assert "swe" not in codes("--unseen-by", "mmbert")
    assert set(codes("--unseen-by", "mini")) - set(codes("--unseen-by", "xlm-r")) == {"tel", "tha"}  # no text of theirs
    assert set(codes("--unseen-by", "xlm-r")) < set(codes("--unseen-by", "mini")) < set(codes())
    assert "nds" in codes("low", "german") == codes("low german") < codes("low")
    assert codes("--has-test", "pos") <= codes()
    assert len(codes("--has-text")) < len(codes())
    assert {"nds", "nld"} <= codes("low") - codes("low", "--script", "Cyrl")  # by its name, by its family
    assert "gsw" in codes("GSW")
    assert "fao" not in codes("low")
    for words, message in ((("nothing of this name",), "no code, name or family has this"),
                           (("--script", "Ltan"), "did you mean 'Latn'"),
                           (("--family", "Germanc"), "'Germanic'"),
                           (("--has-test", "poss"), "unknown task 'poss'")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            codes(*words)
