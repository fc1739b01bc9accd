"""What stage two trains in an adapter's place: each method runs, is stored, and can be predicted with."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_project import RECIPE

from madx.formats.tensors import load_tensors
from tests.end_to_end.test_pipeline import kill_when, madx, start

METHODS = ["lora", "madx-lora", "lora-language", "ia3", "prefix", "prompt", "bitfit", "lt-sft", "full",
           "madx-compacter", "madx-compacter-plus", "madx-drop", "madx-sparse", "madx-distilled",
           "unipelt"]  # fmt: skip


@pytest.fixture
def of_bert(project: Path, encoder_folder: Callable[[str], Path]) -> Path:
    """An encoder with biases."""
    recipe = RECIPE.format(model=encoder_folder("bert")).replace("seeds = [1, 2]", "seeds = [1]")
    (project / "recipe.toml").write_text(recipe)
    return project


def test_every_method_runs_and_can_be_predicted_with(of_bert: Path) -> None:
    fast = [word for method in ("lora", "ia3", "prefix", "prompt", "unipelt", "bitfit", "sparse", "full")
            for word in ("--set", f"{method}.learning_rate=0.02")]  # fmt: skip
    madx(of_bert, "run", "recipe.toml", "--set", f"methods={json.dumps(METHODS)}", "--set", "task_adapter.epochs=6",
         "--set", "task_adapter.learning_rate=0.02", "--set",
         "compacter={ reduction_factor = 4.0, products = 2, learning_rate = 0.02 }", *fast)  # fmt: skip
    rows = list(csv.DictReader((of_bert / "results" / "tiny" / "scores.csv").open()))
    assert {row["method"] for row in rows} == set(METHODS)
    # what was stored is what was trained: the source's test set is its dev set here
    dev = {
        m["method"]: m["dev"] for m in json.loads((of_bert / "results" / "tiny" / "models.json").read_text())["models"]
    }
    stored = {row["method"]: float(row["value"]) for row in rows if row["target"] == "eng"}
    assert stored == pytest.approx(dev)
    assert len(set(dev.values())) > 3  # they have learnt, each its own
    for method in METHODS:
        out, _ = madx(of_bert, "predict", "results/tiny", "--language", "swe", "--method", method, "--format", "text",
                      text="hunden sover\n")  # fmt: skip
        assert [line.split("\t")[0] for line in out.split("\n") if line] == ["hunden", "sover"], method


def test_an_encoder_without_biases_is_refused_before_any_work(project: Path) -> None:
    process = start(project, "run", "recipe.toml", "--set", 'methods=["bitfit"]')
    _, error = process.communicate()
    assert process.returncode == 2
    assert "has no biases" in error


def test_layers_are_dropped_one_by_one_and_measured(project: Path) -> None:
    settings = ["--set", 'methods=["madx", "madx-drop", "lora"]', "--set", "seeds=[1]"]
    process = start(project, "drop", "recipe.toml", *settings)
    _, error = process.communicate()
    assert process.returncode == 2
    assert "only adapters can be dropped" in error
    settings[1] = 'methods=["madx", "madx-drop"]'
    madx(project, "run", "recipe.toml", *settings)
    out, _ = madx(project, "drop", "recipe.toml", *settings)
    rows = list(csv.DictReader((project / "results" / "tiny" / "drop.csv").open()))
    assert {(row["method"], row["target"], row["dropped"]) for row in rows} == {
        (method, target, str(n)) for method in ("madx", "madx-drop") for target in ("eng", "swe") for n in (0, 1)
    }
    scores = list(csv.DictReader((project / "results" / "tiny" / "scores.csv").open()))
    undropped = {(r["method"], r["target"]): float(r["value"]) for r in rows if r["dropped"] == "0"}
    first = {(r["method"], r["target"]): float(r["value"]) for r in reversed(scores) if r["metric"] == "accuracy"}
    assert undropped == pytest.approx(first)
    assert all(float(row["examples_per_s"]) > 0 for row in rows)
    assert "swe, madx-drop, seed 1, 1 dropped" in out
    for figure in ("drop-scores.svg", "drop-speed.svg"):
        assert "madx-drop" in (project / "results" / "tiny" / figure).read_text()
    out, _ = madx(project, "drop", "recipe.toml", "--layers", "1", "--json", *settings)
    assert {row["dropped"] for row in json.loads(out)} == {1}


def test_weights_are_pruned_before_and_after_training_and_measured(project: Path) -> None:
    settings = ["--set", 'methods=["madx", "madx-sparse", "lora"]', "--set", "seeds=[1]", "--set",
                "task_adapter.reduction_factor=1"]  # fmt: skip
    process = start(project, "prune", "recipe.toml", *settings)
    _, error = process.communicate()
    assert process.returncode == 2
    assert "only adapters can be pruned" in error
    settings[1] = 'methods=["madx", "madx-sparse"]'
    out, _ = madx(project, "prune", "recipe.toml", "--sparsity", "0,0.5,0.95", *settings)
    assert "swe, madx-sparse, seed 1, sparsity 0.95" in out
    folder = project / "results" / "tiny"
    rows = list(csv.DictReader((folder / "prune.csv").open()))
    assert "madx-sparse" in (folder / "prune-scores.svg").read_text()
    size = {(row["method"], row["sparsity"]): int(row["bytes"]) for row in rows}
    for method in ("madx", "madx-sparse"):
        assert size[method, "0.95"] < size[method, "0.5"] < size[method, "0.0"]
    madx(project, "run", "recipe.toml", *settings)
    scores = list(csv.DictReader((folder / "scores.csv").open()))
    first = {
        r["target"]: float(r["value"]) for r in reversed(scores) if (r["method"], r["metric"]) == ("madx", "accuracy")
    }
    undone = {r["target"]: float(r["value"]) for r in rows if (r["method"], r["sparsity"]) == ("madx", "0.0")}
    assert undone == pytest.approx(first)
    (pruned,) = [p for p in (project / "results" / ".store").glob("pruned-tags-*")
                 if json.loads((p / "madx.json").read_text())["sparsity"] == 0.95]  # fmt: skip
    process = start(project, "adapters", "push", str(pruned), "./elsewhere")
    _, error = process.communicate()
    assert process.returncode == 2
    assert "makes it dense" in error
    model = (project / "recipe.toml").read_text().split('model = "')[1].split('"')[0]
    madx(project, "adapters", "export", str(pruned), "--to", "out", "--model", model)
    assert (project / "out" / "adapter.safetensors").exists()
    process = start(project, "prune", "recipe.toml", "--sparsity", "0.5,1")
    _, error = process.communicate()
    assert process.returncode == 2
    assert "--sparsity" in error


def test_fusions_over_sources_tasks_and_languages(project: Path) -> None:
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "tags.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))
    (project / "tasks" / "other.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))
    (project / "nno.txt").write_text((project / "swe.txt").read_text())
    methods = ["fusion-sources", "fusion-tasks", "fusion-languages"]
    settings = [f"methods={json.dumps(methods)}", "seeds=[1]", 'source=["eng", "swe"]', 'tasks=["tags", "other"]',
                'targets=["nno"]', 'text.nno=["nno.txt"]']  # fmt: skip
    madx(project, "run", "recipe.toml", *[word for one in settings for word in ("--set", one)])
    rows = list(csv.DictReader((project / "results" / "tiny" / "scores.csv").open()))
    assert {(row["method"], row["task"]) for row in rows} == {(m, t) for m in methods for t in ("tags", "other")}
    for method in methods:
        out, _ = madx(project, "predict", "results/tiny", "--task", "tags", "--language", "nno", "--method", method,
                      "--format", "text", text="hunden sover\n")  # fmt: skip
        assert [line.split("\t")[0] for line in out.split("\n") if line] == ["hunden", "sover"], method
    process = start(project, "run", "recipe.toml", "--set", 'methods=["fusion-sources"]')
    _, error = process.communicate()
    assert process.returncode == 2
    assert "several source languages" in error


@pytest.fixture
def two_tasks(project: Path) -> Path:
    """The second has half of the first's sentences."""
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "fewer.toml").write_text(task.replace('"eng.tsv"', '"fewer.tsv"'))
    (project / "fewer.tsv").write_text("\n\n".join((project / "eng.tsv").read_text().split("\n\n")[:9]) + "\n")
    return project


SETTINGS = (
    'methods=["hyperformer"]', 'tasks=["tags", "fewer"]', "seeds=[1]", "task_adapter.epochs=12",
    "hyperformer={ reduction_factor = 4.0, learning_rate = 0.01 }",
)  # fmt: skip
TOGETHER = [word for setting in SETTINGS for word in ("--set", setting)]


def test_tasks_trained_together_are_each_an_ordinary_adapter(two_tasks: Path) -> None:
    madx(two_tasks, "run", "recipe.toml", *TOGETHER)
    folder, store = two_tasks / "results" / "tiny", two_tasks / "results" / ".store"
    rows = [row for row in csv.DictReader((folder / "scores.csv").open()) if row["metric"] == "accuracy"]
    assert {(row["task"], row["target"]) for row in rows} == {
        ("tags", "eng"),
        ("tags", "swe"),
        ("fewer", "eng"),
        ("fewer", "swe"),
    }
    dev = {m["task"]: m["dev"] for m in json.loads((folder / "models.json").read_text())["models"]}
    stored = {row["task"]: float(row["value"]) for row in rows if row["target"] == "eng"}
    assert stored == pytest.approx(dev)  # what was handed out is what was trained: the test set is the dev set here
    assert dev["tags"] > 35
    assert len(list(store.glob("tasks-2-tasks-*"))) == 1
    _, error = madx(two_tasks, "run", "recipe.toml", *TOGETHER)
    assert "everything is reused" in error

    # the peer's format, out and in again
    (handed,), (language,) = store.glob("handed-tags-*"), store.glob("language-swe-*")
    model = (two_tasks / "recipe.toml").read_text().split('model = "')[1].split('"')[0]
    madx(two_tasks, "adapters", "export", str(handed), "--to", "out", "--model", model)
    config = json.loads((two_tasks / "out" / "adapter_config.json").read_text())["config"]
    assert (config["mh_adapter"], config["output_adapter"], config["reduction_factor"]) == (True, True, 4.0)
    madx(two_tasks, "adapters", "import", "out", "--to", "back", "--model", model)
    text, plain = "hunden sover\nen katt\n", ("--language", "swe", "--format", "text")
    wanted, _ = madx(two_tasks, "predict", "results/tiny", "--task", "tags", *plain, text=text)
    out, _ = madx(two_tasks, "predict", str(handed), "--adapter", f"swe={language}", *plain, text=text)
    assert out == wanted
    for file in ("adapter.safetensors", "model_head.safetensors"):
        tensors = load_tensors(handed / file)
        for again in ("out", "back"):
            loaded = load_tensors(two_tasks / again / file)
            assert loaded.keys() >= tensors.keys()
            assert all(torch.equal(loaded[key], tensor) for key, tensor in tensors.items()), (again, file)
    out, _ = madx(two_tasks, "adapters", "list", "--json")
    assert {row["name"] for row in json.loads(out) if row["kind"] == "task adapter out of a network"} == {
        "tags",
        "fewer",
    }

    # whatever takes a finished task adapter takes these
    out, _ = madx(two_tasks, "drop", "recipe.toml", "--layers", "0-1", "--json", *TOGETHER)
    assert {
        row["task"]: row["value"] for row in json.loads(out) if (row["target"], row["dropped"]) == ("eng", 0)
    } == stored
    out, _ = madx(two_tasks, "prune", "recipe.toml", "--sparsity", "0,0.5", *TOGETHER)
    assert "fewer swe, hyperformer, seed 1, sparsity 0.5" in out
    madx(two_tasks, "run", "recipe.toml", *TOGETHER, "--set", "evaluation.weights=int8")


def test_a_killed_training_of_several_tasks_ends_in_the_same_bytes(two_tasks: Path) -> None:
    whole, cut = ("run", "recipe.toml", *TOGETHER, "--results", "whole"), ("run", "recipe.toml", *TOGETHER)
    kill_when(two_tasks, "tasks-2-tasks-*/checkpoint-*.pt", *cut)
    assert not list((two_tasks / "results" / ".store").glob("tasks-*/done.json"))
    madx(two_tasks, *cut)
    madx(two_tasks, *whole)
    for name, count in (("tasks-*", 3), ("handed-*", 4)):  # the network, a head each; an adapter and a head each
        files = list((two_tasks / "whole" / ".store").glob(f"{name}/**/*.safetensors"))
        assert len(files) == count
        for path in files:
            twin = two_tasks / "results" / ".store" / path.relative_to(two_tasks / "whole" / ".store")
            assert twin.read_bytes() == path.read_bytes(), twin
