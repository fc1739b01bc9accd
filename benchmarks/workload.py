"""What both sides compute: one random encoder of a real shape, adapters and batches, made once, by madx, from a seed.

Token ids are random; sentences are as long as EWT's training sentences in XLM-R's vocabulary: the quantiles of their
words (mean 16.3), 1.37 subwords each, cut at 128. Speed doesn't depend on what the tokens mean, and nothing has to be
downloaded.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.heads import save_head
from madx.tasks.heads import Head, HeadSpec

SHAPES: dict[str, dict[str, int]] = {
    "xlmr-base": {"vocab_size": 250_002, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                  "intermediate_size": 3072},
    "small": {"vocab_size": 16_000, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6,
              "intermediate_size": 768},
}  # fmt: skip
BLOCK, BLOCKS, MASK, LABELS, BATCH, LONGEST = 128, 8, 4, 17, 32, 126
WORDS = {0: 1, 1: 1, 5: 2, 10: 3, 25: 7, 50: 14, 75: 22, 90: 32, 95: 39, 99: 57, 100: 159}  # percentile: words
TOKENS = 30_000  # of the vocabulary, that one language's text has
FERTILITY = 1.37  # subwords per word


def make(folder: Path, shape: str, steps: int, sentences: int) -> Path:
    """The workload's folder, made if it isn't there."""
    name = f"{shape}-{steps}-{sentences}-{BLOCKS}x{BLOCK}"
    done = folder / name
    if (done / "ready").exists():
        return done
    done.mkdir(parents=True, exist_ok=True)
    config = XLMRobertaConfig(
        **SHAPES[shape], max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(config).save_pretrained(done / "base")
    encoder = load_encoder(resolve_encoder(str(done / "base")), torch.device("cpu"))
    encoder.adapters.add("lang", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    encoder.adapters.add("task", BottleneckSpec(reduction_factor=16.0))
    head = Head(HeadSpec(head_type="tagging", num_labels=LABELS), encoder.width)
    for adapter in ("lang", "task"):
        save_adapter(done / adapter, encoder, adapter, pickle=True)
    save_head(done / "task", encoder, head, "task", pickle=True)
    rng = np.random.default_rng(1)
    vocabulary = SHAPES[shape]["vocab_size"]
    known = rng.choice(np.arange(10, vocabulary), min(TOKENS, vocabulary - 10), replace=False)
    ids = rng.choice(known, (steps, BLOCKS, BLOCK))
    chosen = rng.random(ids.shape) < 0.15
    words = np.interp(100 * rng.random(sentences), list(WORDS), list(WORDS.values()))
    lengths = np.clip(words * FERTILITY, 1, LONGEST).astype(int)
    rows: list[dict[str, Any]] = []
    for length in lengths.tolist():
        body = rng.integers(10, vocabulary, length).tolist()
        first = rng.random(length) < 1 / FERTILITY  # first subwords of words carry labels
        first[0] = True
        labels = np.where(first, rng.integers(0, LABELS, length), -100).tolist()
        rows.append({"ids": [0, *body, 2], "labels": [-100, *labels, -100]})
    np.resize(known, -(-len(known) // BLOCK) * BLOCK).astype(np.int32).tofile(done / "corpus.bin")
    np.savez(done / "blocks.npz", ids=np.where(chosen, MASK, ids), labels=np.where(chosen, ids, -100))
    (done / "sentences.json").write_text(json.dumps(rows))
    (done / "ready").write_text("")
    return done
