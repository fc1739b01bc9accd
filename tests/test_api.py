"""The Python interface: what is public, and each way of using it that the manual shows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    pipeline,
)

import madx
from madx.config import InputError

IDS = torch.tensor([[1, 50, 60, 70, 80, 2]])
LANGUAGE = madx.BottleneckSpec(reduction_factor=2.0, invertible=madx.InvertibleSpec())


def test_the_public_names() -> None:
    """Once public, a name stays for the 1.x line."""
    from madx import api

    assert sorted(madx.PUBLIC) == sorted(api.__all__) == [
        "Average", "BatchSplit", "BottleneckSpec", "Encoder", "Fuse", "InputError", "InvertibleSpec", "Parallel",
        "Predictor", "Results", "RunError", "Split", "Stack", "attach", "evaluate", "load", "load_encoder", "run",
        "save", "train_language", "train_personal", "train_task",
    ]  # fmt: skip
    assert set(madx.PUBLIC) <= set(dir(madx))
    for name in madx.PUBLIC:
        assert (getattr(madx, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        madx.trian  # noqa: B018


def test_import_madx_is_light() -> None:
    code = "import sys, madx; print([m for m in ('torch', 'transformers', 'pandas', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def random_weights(encoder: "madx.Encoder", name: str) -> None:
    torch.manual_seed(1)
    for parameter in encoder.adapters.get(name).parameters():
        torch.nn.init.normal_(parameter, std=0.2)


@torch.no_grad()
def test_an_adapter_is_saved_and_loaded_into_the_encoder_that_it_names(
    encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = madx.load_encoder(str(encoder_folder("bert")), device="cpu")
    encoder.add("swe", LANGUAGE)
    random_weights(encoder, "swe")
    encoder.activate("swe")
    wanted = encoder.hidden(IDS)
    folder = madx.save(encoder, "swe", tmp_path / "swe")
    again = madx.load(folder, str(encoder_folder("bert")), name="svenska")
    assert torch.equal(again.hidden(IDS), wanted)
    assert again.adapters.names == ["svenska"]
    with pytest.raises(InputError, match="doesn't say which encoder"):
        madx.load(folder)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert", "eurobert", "deberta-v2", "distilbert"])
def test_attached_adapters_compute_in_ones_own_model_what_they_compute_here(
    family: str, encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """The masked-LM model's own forward, with the inverse in front of its decoder."""
    folder = encoder_folder(family)
    ours = madx.load_encoder(str(folder), device="cpu")
    ours.add("swe", LANGUAGE)
    random_weights(ours, "swe")
    ours.activate("swe")
    wanted = ours.masked_lm_logits(ours.hidden(IDS))
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    bare = model(input_ids=IDS).logits
    attached = madx.attach(model)
    assert torch.equal(model(input_ids=IDS).logits, bare)
    madx.load(madx.save(ours, "swe", tmp_path / "swe"), attached)
    assert torch.allclose(model(input_ids=IDS).logits, wanted, atol=1e-5)
    assert not torch.allclose(wanted, bare, atol=1e-3)


def test_a_loop_of_ones_own_trains_adapter_and_head_alone(encoder_folder: Callable[[str], Path]) -> None:
    model = AutoModelForTokenClassification.from_pretrained(encoder_folder("bert"), num_labels=3)
    madx.attach(model, madx.BottleneckSpec(reduction_factor=4.0), name="ner")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(name.startswith(("madx_adapters.", "classifier.")) for name in trained)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    model.train()
    losses = []
    for _ in range(12):
        loss = model(input_ids=IDS, labels=torch.tensor([[-100, 0, 1, 2, 0, -100]])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == trained


def test_a_pooler_is_trained_with_the_head_that_reads_it(encoder_folder: Callable[[str], Path]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder_folder("bert"), num_labels=3
    )  # it lacks a pooler
    madx.attach(model, madx.BottleneckSpec(reduction_factor=4.0))
    trained = {name.partition("_adapters")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        "madx",
        "classifier.weight",
        "classifier.bias",
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }


def test_what_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(madx.InputError, match="Linear: not a transformers model"):
        madx.attach(torch.nn.Linear(2, 2))


def test_a_folder_that_is_no_run_is_an_input_error(tmp_path: Path) -> None:
    for wrong in (str(tmp_path), tmp_path):
        with pytest.raises(madx.InputError, match=r"no scores\.csv there; a run's folder is wanted"):
            _ = madx.Results(wrong).scores
    (tmp_path / "recipe.toml").touch()
    for project in (tmp_path, tmp_path / "recipe.toml"):
        with pytest.raises(madx.InputError, match="a project; what predicts is its run's folder, results/NAME"):
            madx.Predictor(project)


def test_adapters_are_attached_once(encoder_folder: Callable[[str], Path]) -> None:
    model = AutoModelForMaskedLM.from_pretrained(encoder_folder("bert"))
    madx.attach(model)
    with pytest.raises(madx.InputError, match="it has adapters already; add more to the encoder"):
        madx.attach(model)


def test_trainer_trains_attached_adapters_and_a_pipeline_uses_them(
    encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder("bert"))
    model = AutoModelForTokenClassification.from_pretrained(encoder_folder("bert"), num_labels=2)
    torch.manual_seed(0)  # a bottleneck of one ReLU, as sixteen over sixteen gives, may be dead from the start
    encoder = madx.attach(model, madx.BottleneckSpec(reduction_factor=2.0), name="tags")
    rows = [{"input_ids": [1, 50 + i, 60, 2], "labels": [-100, i % 2, 1, -100]} for i in range(8)]
    arguments = TrainingArguments(
        str(tmp_path / "out"), max_steps=3, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True, learning_rate=1e-2,
    )  # fmt: skip
    before = [p.detach().clone() for p in encoder.adapters.parameters()]
    Trainer(model=model, args=arguments, train_dataset=rows).train()  # type: ignore[arg-type]
    assert all(not torch.equal(a, b) for a, b in zip(before, encoder.adapters.parameters(), strict=True))
    found = pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")("the dog sees a house")
    assert {"entity", "score", "word", "start", "end"} <= set(found[0])
    encoder.activate()
    bare = pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")("the dog sees a house")
    assert [f["score"] for f in bare] != [f["score"] for f in found]


def test_the_pipeline_in_python(project: Path, encoder_folder: Callable[[str], Path]) -> None:
    encoder = madx.load_encoder(str(encoder_folder("modernbert")), device="cpu")
    adapter = madx.train_language(
        "swe.txt", encoder, language="Swedish", catalog=[project], steps=12, batch_tokens=128, max_length=16
    )
    assert (adapter / "adapter.safetensors").exists()
    heard: list[str] = []
    results = madx.run(
        "recipe.toml", overrides=['methods=["madx", "task-only"]', "seeds=[1]"], encoder=encoder,
        tell=lambda progress: heard.append(progress.what),
    )  # fmt: skip
    assert set(heard) == {"reused", "start", "done"}  # Swedish's adapter is that of train_language
    assert isinstance(results.scores, pd.DataFrame)
    assert set(results.scores["method"]) == {"madx", "task-only"}
    assert list(results.differences["method"].unique()) == ["madx"]
    predictions = results.predictions("tags", "madx", "swe", 1)
    hits = sum(g == p for row in predictions.itertuples() for g, p in zip(row.gold, row.predicted, strict=True))
    words = sum(map(len, predictions["gold"]))
    value = results.scores.query("method == 'madx' and target == 'swe' and metric == 'accuracy'")["value"].item()
    assert value == pytest.approx(100 * hits / words)
    assert results.about["name"] == "tiny"
    assert results.report.exists()
    with pytest.raises(InputError, match="no such cell"):
        results.predictions("tags", "full", "swe", 1)
    other = madx.load_encoder(str(encoder_folder("bert")), device="cpu")
    with pytest.raises(InputError, match="the encoder in memory is"):
        madx.run("recipe.toml", encoder=other)


def test_stages_two_and_three_in_python(project: Path, encoder_folder: Callable[[str], Path]) -> None:
    model = str(encoder_folder("modernbert"))
    settings = {"task_adapter": {"epochs": 1}, "catalog": [project], "device": "cpu"}
    folder = madx.train_task("tags", model, method="task-only", **settings)  # type: ignore[arg-type]
    assert (folder / "head_config.json").exists()
    results = madx.evaluate("tags", ["swe"], model, methods=["task-only"], seeds=[1], **settings)  # type: ignore[arg-type]
    assert set(results.scores["target"]) == {"swe", "eng"}
    recipe = {"name": "x", "model": model, "tasks": ["tags"], "targets": ["swe"], "methods": ["nonsense"]}
    with pytest.raises(InputError, match="unknown method 'nonsense'"):
        madx.run(recipe)
