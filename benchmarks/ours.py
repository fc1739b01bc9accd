"""Our side: the functions that the stages run, on the same work.

python ours.py WORKLOAD DEVICE STAGE UPDATES [same] [float64] [corpus] [compiled] [kept] [int8] [bf16]
    STAGE: language, pos, pos-upper, nli, evaluation
    same: the peer's batches in its order, to compare losses; float64: without the rounding that parts them
    corpus: stage one's softmax over the text's tokens; compiled: its encoder by torch.compile
    kept: stage two's lower layers run once; int8: at evaluation; bf16: products, on a processor
"""

import json
import sys
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import workload
from machine import gemm_rate, wait
from memory import peak_memory_mb

from madx.corpora.masking import Masked
from madx.encoders.compiled import CompiledPass
from madx.encoders.encoder import load_encoder
from madx.encoders.halved import rounded_once
from madx.encoders.int8 import int8_weights
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter
from madx.formats.heads import load_head
from madx.stages.lower_states import LowerStates
from madx.stages.masked_lm import CorpusVocabulary, masked_lm_loss, parts_of
from madx.tasks import classification, tagging
from madx.tasks.batches import parts_by_length, training_order
from madx.tasks.examples import Feature

folder, device, stage, updates = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
asked = set(sys.argv[5:])
WARM = {"cpu": 1, "cuda": 10}[device]  # first updates, which allocate, and choose a GPU's kernels
torch.set_num_threads(2)
encoder = load_encoder(
    resolve_encoder(str(folder / "base")), torch.device(device), "bf16" if "bf16" in asked else "auto"
)
load_adapter(folder / "lang", encoder)
if "float64" in asked:
    encoder.model.double()
    encoder.adapters.double()
kind: Any = classification if stage == "nli" else tagging
losses: list[float] = []
tokens, lower, lower_seconds = 0, None, 0.0

if stage == "language":
    encoder.adapters.activate("lang")
    vocabulary = CorpusVocabulary.of(np.load(folder / "tokens.npy"), encoder) if "corpus" in asked else None
    compiled = CompiledPass(encoder) if "compiled" in asked else None
    trained = [*encoder.adapters.parameters(), *encoder.lm_head.trainable()]
    blocks = np.load(folder / "blocks.npz")
    work = []
    for ids, labels in zip(blocks["ids"][:updates], blocks["labels"][:updates], strict=True):
        chosen = torch.from_numpy(labels != -100)
        work.append(Masked(torch.from_numpy(ids), chosen, torch.from_numpy(labels)[chosen]))
else:
    encoder.adapters.get("lang").requires_grad_(False)
    task = folder / {"evaluation": "pos"}.get(stage, stage)
    load_adapter(task, encoder)
    _, head = load_head(task, encoder)
    encoder.adapters.activate("lang", "task")
    trained = [*encoder.adapters.get("task").parameters(), *head.parameters()]
    features = []
    for number, row in enumerate(json.loads((folder / f"{stage.removesuffix('-upper')}.json").read_text())):
        target, extra = row["labels"], None
        if isinstance(target, list):
            read = [i for i, label in enumerate(target) if label != -100]
            target, extra = [target[i] for i in read], (read, 0)
        features.append(Feature((tuple(row["ids"]),), None, target, number, extra))

before, modes = gemm_rate(device), ExitStack()
if stage == "evaluation":
    head.eval()
    with torch.no_grad(), int8_weights(encoder.base) if "int8" in asked else nullcontext():
        for _ in range(1 if device == "cpu" else 2):  # a GPU's kernels are chosen the first time
            tokens, began = 0, time.perf_counter()
            for start in range(0, len(features), workload.BATCH):  # a language's sentences
                theirs = features[start : start + workload.BATCH]
                for _, batch in parts_by_length(theirs, encoder):
                    states = encoder.hidden(batch.ids_BT, batch.mask_BT, read=kind.read_positions(batch))
                    kind.decode(head, states, batch)
                    tokens += batch.tokens
else:
    modes.enter_context(encoder.training())
    modes.enter_context(rounded_once(encoder, trained, decoder=stage == "language"))
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
    order = []
    if stage != "language":
        order = [list(range(i, i + workload.BATCH)) for i in range(0, len(features), workload.BATCH)]
        order = (order if "same" in asked else training_order(features, workload.BATCH, (1, 0, 0)))[:updates]
    if "kept" in asked:
        began = time.perf_counter()
        seen = [features[i] for batch in order for i in batch]
        lower = LowerStates(encoder, seen, len(workload.LOWER_HALF), folder / "lower.f32")
        lower_seconds = time.perf_counter() - began
    began = 0.0
    for step in range(updates):
        if step == WARM:
            wait(device)
            began = time.perf_counter()
        parts, count = [], 0
        if stage == "language":
            for part in parts_of(work[step], encoder.many_tokens):
                loss = masked_lm_loss(encoder, part, vocabulary, compiled=compiled) / len(work[step].targets_M)
                loss.backward()
                parts.append(loss.detach())
                count += part.ids_BT.numel()
        else:
            chosen_features = [features[i] for i in order[step]]
            targets = sum(map(kind.targets, chosen_features))
            for _, batch in parts_by_length(chosen_features, encoder, training=True):
                below = lower.of(batch) if lower else None
                states = encoder.hidden(batch.ids_BT, batch.mask_BT, read=kind.read_positions(batch), lower=below)
                loss = kind.summed_loss(head, states, batch) / targets
                loss.backward()
                parts.append(loss.detach())
                count += batch.tokens
        optimizer.step()
        optimizer.zero_grad()
        losses.append(sum(torch.stack(parts).tolist()))
        tokens += count if began else 0
seconds = time.perf_counter() - began
if lower is not None:
    lower.drop()
    # once for the ten epochs that are the default; the first updates' share of it isn't timed
    seconds += lower_seconds / 10 * (updates - WARM) / updates
memory = peak_memory_mb(device)
print(json.dumps({"tokens_per_s": tokens / seconds, "memory_mb": memory, "losses": losses,
                  "lower_seconds": lower_seconds, "gemm": (before + gemm_rate(device)) / 2}))  # fmt: skip
