"""madx's quick start, in `.venv-peer`, as a user of `adapters` 1.3.0 would do it: its `AdapterTrainer` and the steps of
its example scripts (run_mlm, run_ner) and of its MAD-X notebook.

HF_HUB_OFFLINE=1 python benchmarks/peer_quickstart.py PLAN.json          the plan: quickstart_plan.py

Transformers' static classes are used, with `adapters.init`; `mini` is what `madx models export mini` writes. One thing
is put right: transformers 4 doesn't know the tokenizer's class that transformers 5 wrote.
Not done, of what madx does: choosing the best epoch (the trainer needs checkpoints for it) and span F1 for NER (the
scores are tokens' accuracy). Everything is one process, so that the library is imported once.
"""

import json
import os
import sys
import tempfile
import time

began = time.perf_counter()

from collections import defaultdict  # noqa: E402
from itertools import chain  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import adapters  # noqa: E402
import torch  # noqa: E402
from adapters import AdapterTrainer, SeqBnConfig, SeqBnInvConfig  # noqa: E402
from adapters.composition import Stack  # noqa: E402
from memory import peak_memory_mb  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.utils import logging  # noqa: E402

logging.set_verbosity_error()
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
plan = json.loads(Path(sys.argv[1]).read_text())
tokenizer = PreTrainedTokenizerFast.from_pretrained(plan["base"])


def load(model_class: Any, **options: Any) -> Any:
    model = model_class.from_pretrained(plan["base"], dtype=torch.float32, **options)
    adapters.init(model)
    return model


def arguments(folder: str, about: dict[str, Any], **options: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder, per_device_train_batch_size=about["batch_size"], learning_rate=about["learning_rate"],
        warmup_ratio=about["warm_up"], seed=about["seed"], use_cpu=True, dataloader_pin_memory=False,
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, **options,
    )  # fmt: skip


class EvaluateAt(TrainerCallback):
    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_evaluate = state.global_step in self.steps


class Cycle(TrainerCallback):
    """Every update over the next language adapter (TLR), every evaluation over the source's."""

    def __init__(self, below: list[str], source: str) -> None:
        self.below, self.source = below, source

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        model.set_active_adapters(Stack(self.below[state.global_step % len(self.below)], "task"))

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        model.set_active_adapters(Stack(self.source, "task"))


def blocks(texts: list[str], size: int) -> list[dict[str, Any]]:
    """run_mlm's group_texts."""
    ids = list(chain.from_iterable(tokenizer(texts)["input_ids"]))
    return [{"input_ids": ids[i : i + size]} for i in range(0, len(ids) // size * size, size)]


def train_language(folder: str, about: dict[str, Any]) -> tuple[int, list[float]]:
    """Updates, and the held-out losses."""
    code = about["code"]
    set_seed(about["seed"])
    model = load(AutoModelForMaskedLM)
    model.add_adapter(code, config=SeqBnInvConfig(**about["adapter"]))
    model.train_adapter(code)
    mask = DataCollatorForLanguageModeling(tokenizer)
    held_out = mask(blocks(about["held_out"], about["block_size"]))  # masked once: every evaluation has the same
    held_out = [{key: held_out[key][i] for key in ("input_ids", "labels")} for i in range(len(held_out["labels"]))]
    trainer = AdapterTrainer(
        model=model,
        args=arguments(
            folder,
            about,
            max_steps=about["steps"],
            per_device_eval_batch_size=len(held_out),
            eval_on_start=True,
            dataloader_drop_last=True,  # every update of the same number of tokens
        ),
        data_collator=lambda rows: (default_data_collator if "labels" in rows[0] else mask)(rows),
        train_dataset=blocks(about["train"], about["block_size"]),
        eval_dataset=held_out,
        callbacks=[EvaluateAt(about["evaluate_at"])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.save_adapter(f"{folder}/{code}", code)
    return trainer.state.global_step, [e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e]


def features(rows: list[list[list[str]]], labels: list[str], max_length: int) -> list[dict[str, Any]]:
    """run_ner's tokenize_and_align_labels: a word's label is its first subword's."""
    encoded = tokenizer([words for words, _ in rows], is_split_into_words=True, truncation=True, max_length=max_length)
    found = []
    for number, (_, own) in enumerate(rows):
        words = encoded.word_ids(number)
        first = [word is not None and word != before for before, word in zip([None, *words], words, strict=False)]
        numbers = [labels.index(own[word]) if is_first else -100 for word, is_first in zip(words, first, strict=True)]
        found.append({"input_ids": encoded["input_ids"][number], "labels": numbers})
    return found


def accuracy(prediction: Any) -> dict[str, float]:
    real = prediction.label_ids != -100
    return {"accuracy": float((prediction.predictions == prediction.label_ids)[real].mean())}


def train_task(folder: str, about: dict[str, Any]) -> AdapterTrainer:
    below, labels = about["below"], about["labels"]
    set_seed(about["seed"])
    model = load(AutoModelForTokenClassification, num_labels=len(labels))
    for code in sorted({*below, *(e["over"] for e in about["evaluations"] if e["over"])}):
        model.load_adapter(f"{folder}/{code}", load_as=code, with_head=False)
    model.add_adapter("task", config=SeqBnConfig(**about["adapter"]))
    model.train_adapter("task")
    model.set_active_adapters(Stack(below[0], "task") if below else "task")
    trainer = AdapterTrainer(
        model=model,
        args=arguments(
            folder, about, num_train_epochs=about["epochs"], eval_strategy="epoch", per_device_eval_batch_size=32
        ),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=features(about["train"], labels, about["max_length"]),
        eval_dataset=features(about["dev"], labels, about["max_length"]),
        compute_metrics=accuracy,
        preprocess_logits_for_metrics=lambda logits, _: logits.argmax(-1),
        callbacks=[Cycle(below, about["source"])] if about["cycle"] else [],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.save_adapter(f"{folder}/{about['name']}", "task")
    return trainer


seconds = dict.fromkeys(("language", "task", "evaluation"), 0.0)
updates, evaluations = {"language": 0, "task": 0}, 0
held_out, dev, scores = {}, defaultdict(list), defaultdict(list)
with tempfile.TemporaryDirectory() as folder:
    for about in plan["languages"]:
        start = time.perf_counter()
        steps, held_out[about["code"]] = train_language(folder, about)
        seconds["language"] += time.perf_counter() - start
        updates["language"] += steps
    for about in plan["trainings"]:
        start = time.perf_counter()
        trainer = train_task(folder, about)
        now = time.perf_counter()
        seconds["task"] += now - start
        updates["task"] += trainer.state.global_step
        task = about["task"]
        dev[task].append(next(e["eval_accuracy"] for e in reversed(trainer.state.log_history) if "eval_accuracy" in e))
        for wanted in about["evaluations"]:
            trainer.model.set_active_adapters(Stack(wanted["over"], "task") if wanted["over"] else "task")
            test = features(wanted["test"], about["labels"], about["max_length"])
            score = trainer.predict(test).metrics["test_accuracy"]
            evaluations += 1
            for method in wanted["methods"] if wanted["target"] != about["source"] else []:
                scores[f"{task} {method}"].append(score)
        seconds["evaluation"] += time.perf_counter() - now
seconds["total"] = time.perf_counter() - began


def means(values: dict[str, list[float]]) -> dict[str, float]:
    return {key: round(sum(each) / len(each), 4) for key, each in values.items()}


print(json.dumps({
    "seconds": {key: round(value, 1) for key, value in seconds.items()},
    "updates": updates,
    "evaluations": evaluations,
    "memory_mb": round(peak_memory_mb()),
    "scores": means({key.split()[0]: each for key, each in scores.items() if key.endswith(" madx")}),
    "held_out": {code: [round(losses[0], 3), round(losses[-1], 3)] for code, losses in held_out.items()},
    "scores_by_method": means(scores),
    "dev": means(dev),
    "held_out_evaluations": {code: len(losses) for code, losses in held_out.items()},
}))  # fmt: skip
