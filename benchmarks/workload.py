"""What both sides compute: one random encoder of XLM-R-base's shape, adapters, heads and batches, made once, by madx.

The sentences are real ones (`--data`): English POS (EWT) and NLI to train on, POS test sets of 20 languages to evaluate
on, in the tokens of `mini`'s tokenizer, spread over the vocabulary. Stage one's blocks are random tokens: packed
blocks are all of one length, and speed doesn't depend on what they mean.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaForMaskedLM

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.find import Catalogue
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import BUNDLED, resolve_encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.heads import save_head
from madx.tasks.batches import Tokens
from madx.tasks.data import labelled_data
from madx.tasks.kinds import KINDS

SHAPE = {"vocab_size": 250_002, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072}  # fmt: skip
BLOCK, BATCH, MASK, MAX_LENGTH = 128, 32, 4, 256
TOKENS = 30_000  # of the vocabulary, that one language's text has
LANGUAGES = ("afr", "arb", "bul", "ces", "dan", "deu", "fin", "fra", "hin", "ind",
             "isl", "ita", "kor", "pol", "por", "rus", "spa", "swe", "tur", "zho")  # fmt: skip
LOWER_HALF = (0, 1, 2, 3, 4, 5)


def make(folder: Path, data: Path, updates: int, blocks: int) -> Path:
    """The workload's folder, made if it isn't there. `blocks`: of stage one's text, in an update."""
    done = folder / f"xlmr-base-{updates}x{blocks}"
    if (done / "ready").exists():
        return done
    done.mkdir(parents=True, exist_ok=True)
    base(done / "base")
    encoder = load_encoder(resolve_encoder(str(done / "base")), torch.device("cpu"))
    encoder.adapters.add("lang", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    save_adapter(done / "lang", encoder, "lang", pickle=True)
    rng = np.random.default_rng(1)
    _blocks(done, updates, blocks, rng)
    for task in ("pos", "nli"):
        rows = _sentences(task, "eng", "train", data, updates * BATCH, rng)
        (done / f"{task}.json").write_text(json.dumps(rows))
        _task_adapter(done / task, encoder, task, BottleneckSpec())
    _task_adapter(done / "pos-upper", encoder, "pos", BottleneckSpec(leave_out=LOWER_HALF))
    tested = [_sentences("pos", code, "test", data, BATCH, rng) for code in LANGUAGES]
    (done / "evaluation.json").write_text(json.dumps([row for rows in tested for row in rows]))
    (done / "ready").write_text("")
    return done


def base(folder: Path) -> None:
    """XLM-R-base's shape, random weights, `mini`'s tokenizer."""
    config = XLMRobertaConfig(
        **SHAPE, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED / name, folder / name)


def _task_adapter(folder: Path, encoder: Encoder, task: str, spec: BottleneckSpec) -> None:
    known = Catalogue().task(task)
    encoder.adapters.add("task", spec)
    save_adapter(folder, encoder, "task", pickle=True)
    save_head(folder, encoder, KINDS[known.kind].head(known, encoder.width), "task", pickle=True)


def _blocks(done: Path, updates: int, blocks: int, rng: np.random.Generator) -> None:
    known = rng.choice(np.arange(10, SHAPE["vocab_size"]), TOKENS, replace=False)
    ids = rng.choice(known, (updates, blocks, BLOCK))
    chosen = rng.random(ids.shape) < 0.15
    np.save(done / "tokens.npy", np.sort(known).astype(np.int32))
    np.savez(done / "blocks.npz", ids=np.where(chosen, MASK, ids), labels=np.where(chosen, ids, -100))


def _sentences(
    task: str, code: str, split: Any, data: Path, count: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """`count` sentences in random order: ids, and the label numbers of tokens (-100: none) or of the sentence."""
    found = labelled_data(Catalogue().task(task), code, split, data)
    assert found is not None
    examples = found.load()
    chosen = [examples[i] for i in rng.permutation(len(examples))[:count]]
    tokens = Tokens(AutoTokenizer.from_pretrained(BUNDLED), MAX_LENGTH)
    rows = []
    for feature in found.kind.features(chosen, tokens, found.task)[:count]:
        ids = feature.sequences[0]
        labels: Any = feature.target
        if task == "pos":
            labels = [-100] * len(ids)
            for position, label in zip(feature.extra[0], feature.target, strict=True):
                labels[position] = label
        # <s> and </s> are XLM-R's; the others keep clear of its padding, from which it counts positions
        rows.append({"ids": [{0: 0, 2: 2}.get(i, 5 * i + 10) for i in ids], "labels": labels})
    return rows
