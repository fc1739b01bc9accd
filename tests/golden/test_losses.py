"""Ten losses of each stage on a tiny encoder of each family, as they were when they were recorded: whatever is rebuilt,
the numbers stay. `python tests/golden/test_losses.py` records them anew, and the commit that does so says why.
"""

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

RECORDED = Path(__file__).with_name("losses.json")
WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<mask>",
    *["the", "a", "dog", "cat", "sees", "eats", "sleeps", "fish", "house", "sea", "near", "old", "two", "we"],
]
WORDS += [f"word{i}" for i in range(64 - len(WORDS))]
COMMON = {
    "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SHAPES = {
    "bert": COMMON,
    "xlm-roberta": {**COMMON, "type_vocab_size": 1},
    "distilbert": {
        "vocab_size": 64, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 64,
        "pad_token_id": 0,
    },
    "deberta-v2": {**COMMON, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    "modernbert": {**COMMON, "cls_token_id": 1, "sep_token_id": 2},
    "eurobert": {**COMMON, "num_key_value_heads": 2, "head_dim": 8},
}  # fmt: skip
RECIPE = """
name = "golden"
model = "encoder"
tasks = ["tags"]
targets = ["swe"]
methods = ["madx"]
seeds = [1]
[text]
eng = "eng.txt"
swe = "swe.txt"
[language_adapter]
steps = 10
batch_tokens = 64
max_length = 16
learning_rate = 1e-2
[task_adapter]
epochs = 5
batch_size = 8
learning_rate = 1e-2
reduction_factor = 4
"""
TASK = """
kind = "tagging"
metric = "accuracy"
labels = ["DET", "NOUN", "VERB"]
[data.eng]
train = "eng.tsv"
[data.swe]
test = "eng.tsv"
"""


def make_project(folder: Path, family: str) -> None:
    """A project on its own: tokenizer, encoder, text and labels are made here."""
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", unk_token="<unk>", mask_token="<mask>", model_max_length=64,
    ).save_pretrained(folder / "encoder")  # fmt: skip
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(AutoConfig.for_model(family, **SHAPES[family])).save_pretrained(folder / "encoder")
    for code in ("eng", "swe"):
        rng = random.Random(code)
        lines = [" ".join(rng.choices(WORDS[5:], k=9)) for _ in range(400)]
        (folder / f"{code}.txt").write_text("\n".join(lines) + "\n")
    pairs = [("the", "DET"), ("dog", "NOUN"), ("sees", "VERB"), ("a", "DET"), ("cat", "NOUN"), ("sleeps", "VERB")]
    sentences = [[pairs[(i + j * (i % 3 + 1)) % 6] for j in range(3 + i % 4)] for i in range(16)]
    (folder / "eng.tsv").write_text("".join("".join(f"{w}\t{t}\n" for w, t in s) + "\n" for s in sentences))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "tags.toml").write_text(TASK)
    (folder / "recipe.toml").write_text(RECIPE)


@contextmanager
def recorded_losses() -> Iterator[list[float]]:
    """The value of every loss whose backward pass is run."""
    found: list[float] = []
    backward = torch.Tensor.backward

    def recording(loss: torch.Tensor, *args: object, **kwargs: object) -> None:
        found.append(loss.item())
        backward(loss, *args, **kwargs)  # type: ignore[arg-type]

    torch.Tensor.backward = recording  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]


def losses_of(folder: Path, family: str) -> dict[str, list[float]]:
    """By stage: `language-swe` and `task-tags`."""
    from madx.catalog.find import Catalogue
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import load_recipe
    from madx.stages.session import Session
    from madx.store import Store

    make_project(folder, family)
    plan = Planner(load_recipe(folder / "recipe.toml"), Catalogue(folder), None, folder).plan()
    session, result = Session(Store(folder / "store"), torch.device("cpu")), {}
    for step in plan.steps:
        with session.store.claim(step.name) as made, recorded_losses() as found:
            assert made is not None
            session.store.finish(step.name, {"seconds": 0, "result": step.run(made, session)})
        if found:
            result[step.name.rsplit("-", 1)[0]] = found
    return {stage: result[stage] for stage in ("language-swe", "task-tags")}


@pytest.mark.parametrize("family", SHAPES)
def test_the_losses_are_those_that_were_recorded(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = json.loads(RECORDED.read_text())[family]
    found = losses_of(tmp_path, family)
    assert {stage: len(losses) for stage, losses in found.items()} == {"language-swe": 10, "task-tags": 10}
    for stage, losses in found.items():
        assert losses == pytest.approx(wanted[stage], abs=2e-5), stage


if __name__ == "__main__":
    import os
    import tempfile

    torch.set_num_threads(1)
    recorded = {}
    for family in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            recorded[family] = losses_of(Path(folder), family)
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")
    sys.stdout.write(f"{RECORDED}\n")
