"""Why a transfer failed, from a run's records alone."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import madx
from madx.cli import app
from madx.pipeline.doctor import _chance, diagnose
from madx.pipeline.rescore import score_run


@pytest.fixture
def run(project: Path) -> Path:
    """Of which every answer is the same."""
    madx.run("recipe.toml", overrides=['methods=["madx"]', "seeds=[1]"], device="cpu")
    folder = project / "results" / "tiny"
    for path in folder.glob("predictions/*/*/*.gz"):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        rows = [{**row, "predicted": ["ADJ"] * len(row["gold"])} for row in rows]
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    score_run(folder)
    return folder


def change(folder: Path, stage: str, **facts: Any) -> None:
    about = json.loads((folder / "run.json").read_text())
    for name, known in about["steps"].items():
        if name.startswith(stage):
            known.update(facts)
    (folder / "run.json").write_text(json.dumps(about))


def dev(folder: Path, value: float) -> None:
    about = json.loads((folder / "models.json").read_text())
    about["models"] = [{**model, "dev": value} for model in about["models"]]
    (folder / "models.json").write_text(json.dumps(about))


def test_reasons_come_in_the_order_of_their_likelihood(run: Path) -> None:
    change(run, "text-swe", unknown_rate=0.4)
    change(run, "language-swe", held_out_before=3.0, held_out_after=3.5)
    change(run, "task-", steps=15, best_step=15)
    dev(run, 5.0)
    about = json.loads((run / "run.json").read_text())
    (row,) = [row for row in about["read"] if row["language"] == "swe"]
    row["labels"] = {"NOUN": 1, "FOREIGN": 3}
    (run / "run.json").write_text(json.dumps(about))
    (found,) = [one for one in diagnose(run) if one.target == "swe"]
    starts = ["label sets differ: 75%", "40% of the text's tokens are unknown", "the source itself is not learnt",
              "too few updates", "language-swe raised the masked-LM loss on held-out text (3.00 to 3.50)",
              "every prediction is 'ADJ'"]  # fmt: skip
    assert len(found.reasons) == len(starts)
    for reason, start in zip(found.reasons, starts, strict=True):
        assert reason.startswith(start)
    done = CliRunner().invoke(app, ["doctor", str(run)])
    assert "tags swe, madx, seed 1: 0.0 (chance 40.0)\n  1. label sets differ" in done.stdout


def test_a_source_that_is_hardly_learnt_is_named(run: Path) -> None:
    """Every other word is right: far from chance, and far from what a trained tagger reaches."""
    for path in run.glob("predictions/*/*/*.gz"):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        rows = [{**r, "predicted": ["ADJ" if i % 2 else tag for i, tag in enumerate(r["gold"])]} for r in rows]
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    score_run(run)
    (found,) = diagnose(run)
    assert (found.target, round(found.value)) == ("eng", 61)
    assert found.reasons[0] == (
        "the source itself is at 61: the task adapter is hardly trained; more epochs or a higher rate"
    )


def test_a_good_score_needs_no_reason(run: Path) -> None:
    for path in run.glob("predictions/*/*/*.gz"):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        path.write_bytes(gzip.compress("\n".join(json.dumps({**r, "predicted": r["gold"]}) for r in rows).encode()))
    score_run(run)
    assert diagnose(run) == []
    assert "no score is zero or at chance" in CliRunner().invoke(app, ["doctor", str(run)]).stdout
    assert CliRunner().invoke(app, ["doctor", str(run), "--json"]).stdout == "[]\n"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert done.exit_code != 0
    assert "run.json" in str(done.exception)


def test_chance_of_a_search_is_by_the_number_of_images() -> None:
    gold = Counter({f"{n}.jpg": 2 for n in range(20)})
    assert [_chance(f"image-recall@{k}", gold) for k in (1, 5)] == [5, 25]
    assert _chance("caption-recall@10", Counter(["a", "b"])) == 100
