"""The peer's side, in `.venv-peer`: `adapters` 1.3.0 used as its documentation shows.

python peer.py WORKLOAD DEVICE STAGE UPDATES [float64]          STAGE: language, pos, pos-upper, nli, evaluation
    On a GPU in bf16, by autocast, as transformers' Trainer does it.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from adapters import AutoAdapterModel
from adapters.composition import Stack
from memory import peak_memory_mb

folder, device, stage, updates = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
WARM = {"cpu": 1, "cuda": 10}[device]  # first updates, which allocate, and choose a GPU's kernels
torch.set_num_threads(2)
model = AutoAdapterModel.from_pretrained(folder / "base")
model.load_adapter(str(folder / "lang"))
losses, tokens = [], 0


def padded(rows):
    longest = max(len(r["ids"]) for r in rows)
    pad = [longest - len(r["ids"]) for r in rows]
    ids = torch.tensor([r["ids"] + [1] * p for r, p in zip(rows, pad, strict=True)])
    labels = [r["labels"] for r in rows]
    if isinstance(labels[0], list):
        labels = [own + [-100] * p for own, p in zip(labels, pad, strict=True)]
    mask = torch.tensor([[1] * len(r["ids"]) + [0] * p for r, p in zip(rows, pad, strict=True)])
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor(labels)}


if stage == "language":
    model.train_adapter("lang")
    model.set_active_adapters("lang")
    model.active_head = "default"
    blocks = np.load(folder / "blocks.npz")
    batches = [
        {"input_ids": torch.from_numpy(i), "labels": torch.from_numpy(t)}
        for i, t in zip(blocks["ids"][:updates], blocks["labels"][:updates], strict=True)
    ]
    real = [b["input_ids"].numel() for b in batches]
else:
    model.load_adapter(str(folder / {"evaluation": "pos"}.get(stage, stage)))
    model.train_adapter("task")
    model.set_active_adapters(Stack("lang", "task"))
    model.active_head = "task"
    rows = json.loads((folder / f"{stage.removesuffix('-upper')}.json").read_text())
    chunks = [rows[i : i + 32] for i in range(0, len(rows), 32)][:updates]
    batches = [padded(chunk) for chunk in chunks]
    real = [sum(len(r["ids"]) for r in chunk) for chunk in chunks]

model.to(device, torch.float64 if "float64" in sys.argv[5:] else torch.float32)
autocast = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def here(batch):
    return {name: value.to(device) for name, value in batch.items()}


if stage == "evaluation":
    model.eval()
    with torch.no_grad(), autocast:
        for batch in batches if device == "cuda" else []:  # once to choose the kernels
            model(**here(batch)).logits.argmax(-1).tolist()
        began = time.perf_counter()
        for batch, count in zip(batches, real, strict=True):
            model(**here(batch)).logits.argmax(-1).tolist()
            tokens += count
else:
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    began = None
    for step, (batch, count) in enumerate(zip(batches, real, strict=True)):
        if step == WARM:
            began = time.perf_counter()
        with autocast:
            loss = model(**here(batch)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        tokens += count if began else 0
seconds = time.perf_counter() - began
print(json.dumps({"tokens_per_s": tokens / seconds, "memory_mb": peak_memory_mb(device), "losses": losses}))
