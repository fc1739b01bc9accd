"""What joins a recipe changes nothing of what is there: one more language, one more task."""

import hashlib
import json
from pathlib import Path

from tests.end_to_end.test_pipeline import madx

SETTINGS = ['methods=["madx", "source-adapter", "task-only"]', "seeds=[1]"]


def run(project: Path, *more: str) -> dict[str, str]:
    """A run; the digest of every file that finished steps hold, by its path in the store."""
    madx(project, "run", "recipe.toml", *[word for one in (*SETTINGS, *more) for word in ("--set", one)])
    store = project / "results" / ".store"
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.glob("*-*/*")
        if path.is_file()
    }


def steps(files: dict[str, str]) -> set[str]:
    return {path.split("/")[0] for path in files}


def predictions(project: Path) -> dict[str, bytes]:
    folder = project / "results" / "tiny" / "predictions"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_more_language_changes_no_byte_of_the_others(project: Path) -> None:
    (project / "nno.txt").write_text((project / "swe.txt").read_text(encoding="utf-8"), encoding="utf-8")
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "tags.toml").write_text(task + '[data.nno]\ntest = "swe.tsv"\n')
    before, said = run(project), predictions(project)
    assert any(path.startswith("language-swe-") and path.endswith(".safetensors") for path in before)
    after = run(project, 'targets=["swe", "nno"]', 'text.nno=["nno.txt"]')
    assert {path: after.get(path) for path in before} == before
    new = {step.rsplit("-", 1)[0] for step in steps(after) - steps(before)}
    assert new == {"text-nno", "language-nno", "evaluation-tags-nno"}
    assert said
    assert {path: text for path, text in predictions(project).items() if path in said} == said
    # nor does it matter which was there first: made anew, all is the same but for times
    again = [word for one in (*SETTINGS, 'targets=["nno", "swe"]', 'text.nno=["nno.txt"]') for word in ("--set", one)]
    madx(project, "run", "recipe.toml", *again, "--results", "anew")
    anew = project / "anew" / ".store"
    compared = [path for path in before if path.endswith(".safetensors")]
    assert len(compared) >= 6
    for path in compared:
        assert hashlib.sha256((anew / path).read_bytes()).hexdigest() == before[path], path


def test_one_more_task_changes_no_byte_of_the_others(project: Path) -> None:
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "other.toml").write_text(task)
    before, said = run(project), predictions(project)
    after = run(project, 'tasks=["tags", "other"]')
    assert {path: after.get(path) for path in before} == before
    new = {step.rsplit("-", 1)[0] for step in steps(after) - steps(before)}
    assert new == {"task-other", "evaluation-other-swe", "evaluation-other-eng"}
    assert {path: text for path, text in predictions(project).items() if path in said} == said
    rows = json.loads((project / "results" / "tiny" / "models.json").read_text())["models"]
    assert {row["task"] for row in rows} == {"tags", "other"}
