"""A language that the encoder's tokenizer can't write gets a vocabulary of its own, from the recipe to a prediction."""

import json
from pathlib import Path

import pytest
from tiny_project import labelled
from transformers import AutoTokenizer

from madx.stages.predictions import read_predictions
from tests.end_to_end.test_pipeline import madx, start

SENTENCES = ["ሰላም ለዓለም", "እንዴት ነህ hunden"]


def settings(method: str) -> list[str]:
    chosen = (f"methods=['{method}']", "seeds=[1]", "vocabulary.size=150")
    return ["run", "recipe.toml", *(word for setting in chosen for word in ("--set", setting))]


def test_a_script_that_the_tokenizer_lacks(project: Path) -> None:
    lines = [f"ሰላም ለዓለም እንዴት ነህ {i} gånger hunden {i * 7 % 13}" for i in range(250)]
    (project / "swe.txt").write_text("\n".join(lines), encoding="utf-8")
    (project / "swe.tsv").write_text(labelled([(s, " ".join(["NOUN"] * len(s.split()))) for s in SENTENCES]))
    refused = start(project, *settings("madx"))
    assert "the encoder's tokenizer cannot write 'swe'" in refused.communicate()[1]
    madx(project, *settings("madx-vocabulary"))

    store, run = project / "results" / ".store", project / "results" / "tiny"
    (folder,) = store.glob("language-swe-*")
    assert {"vocabulary.safetensors", "tokenizer", "adapter", "done.json"} <= {path.name for path in folder.iterdir()}
    about = json.loads((run / "run.json").read_text())
    (made,) = (facts for name, facts in about["steps"].items() if name.startswith("vocabulary-swe"))
    assert made["pieces"] == made["copied"] + made["of_script"] + made["of_all"] <= 150
    assert about["texts"]["swe"]["unknown_rate"] == 0.0

    found = read_predictions(run / "predictions" / "tags" / "madx-vocabulary" / "swe.seed1.jsonl.gz")
    out, _ = madx(project, "predict", "results/tiny", "--language", "swe", "--method", "madx-vocabulary", "--format",
                  "text", text="\n".join(SENTENCES) + "\n")  # fmt: skip
    words = [line.split("\t") for line in out.split("\n") if line]
    assert [word for word, *_ in words] == " ".join(SENTENCES).split()
    assert [label for _, label, *_ in words] == [label for labels in found.predicted for label in labels]

    process = start(project, "adapters", "push", str(folder), str(project / "place" / "swe"))
    _, error = process.communicate()
    assert process.returncode == 2
    assert "its vocabulary belongs to it, and AdapterHub would ignore that" in error


def test_it_goes_into_an_exported_graph(project: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[onnx]'")
    lines = [f"ሰላም ለዓለም እንዴት ነህ {i} gånger hunden {i * 7 % 13}" for i in range(250)]
    (project / "swe.txt").write_text("\n".join(lines), encoding="utf-8")
    madx(project, *settings("madx-vocabulary"))
    madx(project, "export", "results/tiny", "--language", "swe", "--to", "graph")
    tokenizer = AutoTokenizer.from_pretrained(project / "graph")
    ids = tokenizer(SENTENCES[0], return_tensors="np")
    assert tokenizer.unk_token_id not in ids["input_ids"]
    graph = onnxruntime.InferenceSession(project / "graph" / "model.onnx")
    (logits,) = graph.run(None, {name: ids[name] for name in ("input_ids", "attention_mask")})
    assert logits.shape == (1, ids["input_ids"].shape[1], 6)
