"""A romanised target, from the recipe to a prediction: the encoder reads Latin letters, a person sees the own ones."""

import csv
import json
from pathlib import Path

import pytest
from tiny_project import labelled

from madx.stages.predictions import read_predictions
from tests.end_to_end.test_pipeline import madx

pytest.importorskip("uroman", reason="pip install -e '.[romanise]'")
SENTENCES = ["ሰላም ለዓለም", "እንዴት ነህ hunden"]


def test_text_labels_and_predictions_are_read_alike(project: Path) -> None:
    lines = [f"ሰላም ለዓለም እንዴት ነህ {i} gånger hunden {i * 7 % 13}" for i in range(250)]
    (project / "swe.txt").write_text("\n".join(lines), encoding="utf-8")
    (project / "swe.tsv").write_text(labelled([(s, " ".join(["NOUN"] * len(s.split()))) for s in SENTENCES]))
    chosen = ("methods=['madx', 'no-language-adapter']", "seeds=[1]", "romanise=['swe']")
    madx(project, "run", "recipe.toml", *(word for setting in chosen for word in ("--set", setting)))
    run = project / "results" / "tiny"
    assert {row["method"] for row in csv.DictReader((run / "scores.csv").open())} == {"madx", "no-language-adapter"}
    about = json.loads((run / "run.json").read_text())
    assert about["texts"]["swe"]["unknown_rate"] == 0.0  # without: half of it, refused
    found = read_predictions(run / "predictions" / "tags" / "madx" / "swe.seed1.jsonl.gz")
    out, _ = madx(project, "predict", "results/tiny", "--language", "swe", "--method", "madx", "--format", "text",
                  text="\n".join(SENTENCES) + "\n")  # fmt: skip
    words = [line.split("\t") for line in out.split("\n") if line]
    assert [word for word, *_ in words] == " ".join(SENTENCES).split()
    assert [label for _, label, *_ in words] == [label for labels in found.predicted for label in labels]
