"""The peer's side of time_to_loss.py, in `.venv-peer`: stage one with MAD-X's own hyper-parameters.

python peer_loss.py FOLDER UPDATES TIMED ENCODER      FOLDER: train.npy, held_out.npz (masked), as madx made them

The first TIMED of UPDATES; the held-out loss before and after them.
"""

import json
import sys
import time
from pathlib import Path

import adapters
import numpy as np
import torch
from adapters import SeqBnInvConfig
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    get_linear_schedule_with_warmup,
)

folder, updates, timed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
base = sys.argv[4]
torch.set_num_threads(2)
torch.manual_seed(1)
model = AutoModelForMaskedLM.from_pretrained(base, dtype=torch.float32)
adapters.init(model)
model.add_adapter("lang", config=SeqBnInvConfig(reduction_factor=2))
model.train_adapter("lang")
held_out = np.load(folder / "held_out.npz")
sizes = held_out["sizes"].tolist()


@torch.no_grad()
def held_out_loss():
    """Mean over the masked positions, on the masks that madx evaluates with."""
    model.eval()
    total, count, start = 0.0, 0, 0
    for size in sizes:
        ids = torch.from_numpy(held_out["ids"][start : start + size])
        labels = torch.from_numpy(held_out["labels"][start : start + size])
        start += size
        targets = int((labels != -100).sum())
        total += model(input_ids=ids, labels=labels).loss.item() * targets
        count += targets
    model.train()
    return total / count


blocks = np.load(folder / "train.npy")
tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
loader = DataLoader([{"input_ids": row.tolist()} for row in blocks], batch_size=64, shuffle=True, collate_fn=collate)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
schedule = get_linear_schedule_with_warmup(optimizer, 0, updates)
before = held_out_loss()
began, step = time.perf_counter(), 0
while step < timed:
    for batch in loader:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step += 1
        if step == timed:
            break
seconds = time.perf_counter() - began
print(json.dumps({"before": before, "after": held_out_loss(), "seconds": seconds, "updates": timed}))
