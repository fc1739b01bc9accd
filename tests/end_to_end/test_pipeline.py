"""The whole pipeline on tiny encoders, named by what a user sees."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from madx import __version__

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
METHODS = {"madx", "tlr", "source-adapter", "no-language-adapter", "task-only", "full", "full-target-mlm"}


def start(project: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command, pipe = [sys.executable, "-m", "madx", *arguments], subprocess.PIPE
    variables = {**ENVIRONMENT, **environment}
    return subprocess.Popen(command, cwd=project, env=variables, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def madx(project: Path, *arguments: str, text: str | None = None) -> tuple[str, str]:
    process = start(project, *arguments)
    out, error = process.communicate(text)
    assert process.returncode == 0, error
    return out, error


def test_run_rerun_report_predict_and_export(project: Path) -> None:
    out, _ = madx(project, "run", "recipe.toml", "--dry-run", "--json")
    plan = json.loads(out)
    assert {row["status"] for row in plan} == {"to do"}
    out, error = madx(project, "run", "recipe.toml")
    assert "report.html" in out
    folder = project / "results" / "tiny"
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    assert {row["method"] for row in rows} == METHODS
    assert {row["target"] for row in rows} == {"swe", "eng"}
    assert {row["seed"] for row in rows} == {"1", "2"}
    for name in ("recipe.toml", "report.md", "report.html", "run.json", "tables/tags.tex", "plots/tags.svg"):
        assert (folder / name).stat().st_size > 100, name
    assert "://" not in (folder / "report.html").read_text().replace("http://www.w3.org", "")

    # the same work isn't done twice
    _, error = madx(project, "run", "recipe.toml")
    assert f"everything is reused: all {len(plan)} steps" in error
    out, _ = madx(project, "run", "results/tiny/recipe.toml", "--dry-run", "--json")
    assert {row["status"] for row in json.loads(out)} == {"to do"} or len(json.loads(out)) == len(plan)

    # new text names new steps, and what doesn't depend on it stays
    with open(project / "swe.txt", "a") as file:
        file.write("en helt ny mening om havet\n")
    out, _ = madx(project, "run", "recipe.toml", "--dry-run", "--json")
    to_do = {row["step"].rsplit("-", 1)[0] for row in json.loads(out) if row["status"] == "to do"}
    assert "language-swe" in to_do
    assert "language-eng" not in to_do

    # the report from predictions alone
    wanted = {name: (folder / name).read_bytes() for name in ("scores.csv", "report.md", "report.html")}
    for name in wanted:
        (folder / name).unlink()
    madx(project, "report", "results/tiny")
    assert {name: (folder / name).read_bytes() for name in wanted} == wanted


def test_an_adapter_of_a_run_is_exported(project: Path) -> None:
    madx(project, "run", "recipe.toml", "--set", 'methods=["madx"]', "--set", "seeds=[1]")
    folder = next((project / "results" / ".store").glob("language-swe-*"))
    madx(project, "adapters", "export", str(folder), "--to", "out", "--model", _model(project))
    assert sorted(p.name for p in (project / "out").iterdir()) == [
        "README.md", "adapter.safetensors", "adapter_config.json", "madx.json", "pytorch_adapter.bin",
    ]  # fmt: skip
    out, _ = madx(project, "adapters", "list", "--json")
    assert {row["kind"] for row in json.loads(out)} == {"language adapter", "task adapter"}


def _model(project: Path) -> str:
    line = next(line for line in (project / "recipe.toml").read_text().splitlines() if line.startswith("model"))
    return line.split('"')[1]


def kill_when(project: Path, pattern: str, *arguments: str) -> None:
    """Run with a checkpoint after every update, and kill the process as soon as such a file is there."""
    process = start(project, *arguments, MADX_CHECKPOINT_SECONDS="0")
    deadline = time.time() + 240
    while not list((project / "results" / ".store").glob(pattern)):
        assert process.poll() is None, process.communicate()[1]
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(project: Path) -> None:
    settings = ("--set", 'methods=["madx"]', "--set", "seeds=[1]", "--set", "language_adapter.steps=60", "--set",
                "task_adapter.epochs=20")  # fmt: skip
    whole, cut = ("run", "recipe.toml", *settings, "--results", "whole"), ("run", "recipe.toml", *settings)
    kill_when(project, "language-eng-*/checkpoint-*.pt", *cut)
    assert not list((project / "results" / ".store").glob("language-eng-*/done.json"))
    kill_when(project, "task-tags-*/checkpoint-*.pt", *cut)
    madx(project, *cut)
    madx(project, *whole)
    compared = 0
    for path in (project / "whole" / ".store").glob("*-*/*.safetensors"):
        twin = project / "results" / ".store" / path.parent.name / path.name
        assert twin.read_bytes() == path.read_bytes(), twin
        compared += 1
    assert compared >= 6  # two language adapters with their heads, a task adapter and its head


def test_a_run_goes_on_where_another_machine_was(project: Path) -> None:
    settings = ("run", "recipe.toml", "--set", 'methods=["task-only"]', "--set", "seeds=[1]", "--shared",
                (project / "bucket").as_uri())  # fmt: skip
    out, _ = madx(project, *settings, "--results", "here")
    again, told = madx(project, *settings, "--results", "there")
    assert again.replace("there/", "here/") == out
    assert "[" not in told  # nothing was made
    assert not list((project / "there" / ".store").glob("task-*"))  # nor fetched what isn't read


def test_two_runs_at_once_neither_repeat_nor_corrupt(project: Path) -> None:
    settings = ("run", "recipe.toml", "--set", 'methods=["madx"]', "--set", "seeds=[1]", "--set",
                "language_adapter.steps=40")  # fmt: skip
    both = [start(project, *settings) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    done = [line for _, error in outputs for line in error.splitlines() if line.startswith("[") and line.endswith(" s")]
    names = [line.split()[1] for line in done]
    assert len(names) == len(set(names))
    assert outputs[0][0] == outputs[1][0]


def test_two_jobs_share_the_work_and_change_no_number(project: Path) -> None:
    settings = ("run", "recipe.toml", "--set", 'methods=["madx", "task-only"]')
    madx(project, *settings, "--jobs", "1", "--results", "alone")
    _, error = madx(project, *settings, "--jobs", "2", "--results", "together")
    lines = [line for line in error.splitlines() if line.startswith("[")]
    assert len(lines) == len({line.split()[1] for line in lines}) == 16  # 2 texts, 2 languages, 4 tasks, 8 evaluations
    alone, together = ((project / name / "tiny" / "scores.csv").read_text() for name in ("alone", "together"))
    assert alone == together


@pytest.mark.parametrize("kind", ["classification", "multiple-choice", "question-answering"])
def test_every_kind_of_task_runs(project: Path, kind: str) -> None:
    rows = {
        "classification": [{"text": f"the dog sleeps {i}", "label": "ab"[i % 2]} for i in range(12)],
        "multiple-choice": [
            {"premise": f"it rained {i}", "choice1": "wet", "choice2": "dry", "question": "effect", "label": i % 2}
            for i in range(12)
        ],
        "question-answering": [
            {"id": str(i), "question": "who?", "context": f"yes {i} Anna came", "answers": [
                {"text": "Anna", "answer_start": len(f"yes {i} ")}]}
            for i in range(12)
        ],
    }[kind]  # fmt: skip
    metric = {"classification": "accuracy", "multiple-choice": "accuracy", "question-answering": "qa-f1"}[kind]
    (project / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labels = 'labels = ["a", "b"]\n' if kind == "classification" else ""
    data = '[data.eng]\ntrain = "a.jsonl"\ndev = "a.jsonl"\n[data.swe]\ntest = "a.jsonl"\n'
    (project / "tasks" / "tags.toml").write_text(f'kind = "{kind}"\nmetric = "{metric}"\n{labels}{data}')
    out, _ = madx(project, "run", "recipe.toml", "--json", "--set", 'methods=["madx"]', "--set", "seeds=[1]")
    scores = json.loads(out)
    assert {row["target"] for row in scores} == {"swe"}
    assert all(0 <= row["ci_low"] <= row["value"] <= row["ci_high"] <= 100 for row in scores)


def test_the_faster_ways_that_are_not_the_same_run_too(project: Path) -> None:
    chosen = ['methods=["madx", "tlr"]', "seeds=[1]", "task_adapter.leave_out=[0]", "task_adapter.lower_layers=kept",
              "language_adapter.softmax=corpus", "evaluation.weights=int8"]  # fmt: skip
    madx(project, "run", "recipe.toml", *(word for setting in chosen for word in ("--set", setting)))
    rows = list(csv.DictReader((project / "results" / "tiny" / "scores.csv").open()))
    assert {row["method"] for row in rows} == {"madx", "tlr"}
    assert not list((project / "results").rglob("*.f32"))


def test_prediction_takes_the_adapter_that_the_method_trained(project: Path) -> None:
    """madx-aligned and madx differ in the target's adapter alone."""
    for name, code in (("a.txt", "eng"), ("b.txt", "swe")):
        (project / name).write_text((project / f"{code}.txt").read_text())
    chosen = ['methods=["madx", "madx-aligned"]', "seeds=[1]", 'parallel={swe=["a.txt", "b.txt"]}']
    settings = [word for setting in chosen for word in ("--set", setting)]
    madx(project, "run", "recipe.toml", *settings)
    run = json.loads((project / "results" / "tiny" / "run.json").read_text())
    assert {step["device"] for step in run["steps"].values()} == {"cpu"}
    assert run["versions"]["madx-adapters"] == __version__
    cells = {cell["method"]: cell["adapters"] for cell in run["cells"] if cell["target"] == "swe"}
    aligned = [n for n in cells["madx-aligned"] if n.startswith("language-swe")]
    assert aligned
    assert aligned != [n for n in cells["madx"] if n.startswith("language-swe")]
    (plain,) = [name for name in cells["madx"] if name.startswith("language-swe")]
    shutil.rmtree(project / "results" / ".store" / plain)  # so that it can't be what is used
    out, _ = madx(project, "predict", "results/tiny", "--language", "swe", "--method", "madx-aligned", "--format",
                  "text", text="hunden sover\n")  # fmt: skip
    assert [line.split("\t")[0] for line in out.split("\n") if line] == ["hunden", "sover"]


def test_a_recipe_in_its_own_results_keeps_its_comments(project: Path) -> None:
    folder = project / "results" / "tiny"
    folder.mkdir(parents=True)
    recipe = (project / "recipe.toml").read_text()
    for code in ("eng", "swe"):
        recipe = recipe.replace(f'"{code}.txt"', f'"{project}/{code}.txt"')
    own = f"# why this recipe\n{recipe}"
    (folder / "recipe.toml").write_text(own)
    madx(project, "run", "results/tiny/recipe.toml", "--set", 'methods=["task-only"]', "--set", "seeds=[1]")
    assert (folder / "recipe.toml").read_text() == own
    assert 'methods = [\n    "task-only",\n]' in (folder / "recipe.resolved.toml").read_text()
    madx(project, "run", "results/tiny", "--set", 'methods=["task-only"]', "--set", "seeds=[1]")  # by its folder
    assert (folder / "recipe.toml").read_text() == own


def test_a_target_needs_no_labels(project: Path) -> None:
    """Text in; adapter, its loss on held-out text and predictions out."""
    (project / "nno.txt").write_text((project / "swe.txt").read_text())
    settings = [
        word
        for setting in ('methods=["madx", "task-only"]', "seeds=[1]", 'targets=["nno"]', 'text.nno=["nno.txt"]')
        for word in ("--set", setting)
    ]
    out, error = madx(project, "run", "recipe.toml", *settings)
    assert "no test set for nno; trained and predicted for, not scored" in " ".join(error.split())
    assert "targets without labels: no score" in out
    folder = project / "results" / "tiny"
    assert {row["target"] for row in csv.DictReader((folder / "scores.csv").open())} == {"eng"}
    (row,) = json.loads((folder / "run.json").read_text())["unlabelled"]
    assert (row["task"], row["target"], row["unknown_rate"]) == ("tags", "nno", 0.0)
    assert row["held_out_before"] > 0
    for report in ("report.md", "report.html"):
        assert "Targets without labels" in (folder / report).read_text()
    madx(project, "report", "results/tiny")
    out, _ = madx(project, "predict", "results/tiny", "--language", "nno", "--format", "text", text="hunden\n\n")
    assert out.startswith("hunden\t")


def test_every_way_to_an_adapter_runs_and_can_be_predicted_with(project: Path) -> None:
    """MAD-X 2.0, BAD-X, a warm start held near its beginning, and merges for a language whose own text is not used."""
    methods = [
        "madx-2", "madx-shared", "madx-lily", "madx-kl", "madx-federated", "madx-vocabulary", "distilled-language",
        "madx-domain", "bad-x", "madx-from-source",
        "madx-from-family", "madx-from-generated", "hierarchical", "generated", "arithmetic", "auto", "ensemble",
        "emea", "ensemble-logits", "hyper-x", "lt-sft", "merge-mean", "merge-family", "merge-source",
        *(["merge-typology"] if find_spec("urielplus") else []),  # tests/catalog/test_uriel.py says where it isn't
    ]  # fmt: skip
    settings = [
        word
        for setting in (
            f"methods={json.dumps(methods)}",
            "seeds=[1]",
            "language_adapter.near=0.01",
            "domain={ name = 'medical', text = ['eng.txt'] }",
            "vocabulary.size=150",
            "lily={ groups = 2, experts = 2 }",
            "federated={ silos = 2, rounds = 3 }",
        )  # fmt: skip
        for word in ("--set", setting)
    ]
    madx(project, "run", "recipe.toml", *settings)
    rows = list(csv.DictReader((project / "results" / "tiny" / "scores.csv").open()))
    assert {row["method"] for row in rows} == set(methods)
    others = ("madx-domain", "hierarchical", "madx-lily", "hyper-x", "emea", "ensemble-logits", "lt-sft")
    for method in others:  # each loads something of another kind
        out, _ = madx(project, "predict", "results/tiny", "--language", "swe", "--method", method, "--format", "text",
                      text="hunden sover\n")  # fmt: skip
        assert [line.split("\t")[0] for line in out.split("\n") if line] == ["hunden", "sover"], method
    (badx,) = (project / "results" / ".store").glob("language-swe+eng-*/madx.json")
    assert json.loads(badx.read_text())["mixed_with"] == {"eng": 1.0}
    (merged, *_) = (project / "results" / ".store").glob("merged-swe-*/madx.json")
    assert sum(json.loads(merged.read_text())["merged_from"].values()) == 1.0
