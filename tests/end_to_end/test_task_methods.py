"""What stage two trains in an adapter's place: each method runs, is stored, and can be predicted with."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RECIPE
from tests.end_to_end.test_pipeline import madx, start

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
