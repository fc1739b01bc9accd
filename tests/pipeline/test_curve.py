"""madx curve: a recipe with ever more of its targets' text."""

import csv
import json
from pathlib import Path

from tests.end_to_end.test_pipeline import madx, start

SETTINGS = ["--set", 'methods=["madx", "merge-mean", "task-only"]', "--set", "seeds=[1]"]


def test_scores_by_lines_of_text(project: Path) -> None:
    madx(project, "run", "recipe.toml", *SETTINGS)
    out, _ = madx(project, "curve", "recipe.toml", "--lines", "1000,0,100", *SETTINGS)
    results = project / "results" / "tiny"
    rows = list(csv.DictReader((results / "curve.csv").read_text().splitlines()))
    with_text = {("madx", "100"), ("madx", "1000")}
    without = {(method, lines) for method in ("merge-mean", "task-only") for lines in ("0", "100", "1000")}
    assert {(row["method"], row["lines"]) for row in rows} == with_text | without
    assert {row["target"] for row in rows} == {"swe"}
    tokens = {row["lines"]: int(row["tokens"]) for row in rows if row["method"] == "madx"}
    assert 2_000 < tokens["100"] < tokens["1000"]
    assert {row["tokens"] for row in rows if row["method"] == "task-only"} == {"0"}
    scores = [
        row for row in csv.DictReader((results / "scores.csv").read_text().splitlines()) if row["metric"] == "accuracy"
    ]
    whole = {row["method"]: float(row["value"]) for row in scores if row["target"] == "swe"}
    assert {row["method"]: float(row["value"]) for row in rows if row["lines"] == "1000"} == whole  # all 250 lines
    assert "swe, madx, seed 1, 100 lines: " in out
    assert "madx" in (results / "curve-scores.svg").read_text()
    out, _ = madx(project, "curve", "recipe.toml", "--lines", "100", "--json", *SETTINGS)
    assert {row["lines"] for row in json.loads(out)} == {100}


def test_what_cannot_be_measured_is_said_before_any_work(project: Path) -> None:
    for lines, said in (("300,300", "write different whole numbers"), ("-1", "write"), ("some", "write"),
                        ("0", "leave 0 out")):  # fmt: skip
        process = start(project, "curve", "recipe.toml", "--lines", lines, "--set", 'methods=["madx"]')
        _, error = process.communicate()
        assert process.returncode == 2, error
        assert said in error
        assert len(error.strip().splitlines()) == 1
