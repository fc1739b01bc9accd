"""Our side: the functions that the stages run, on the same work.

python ours.py WORKLOAD STAGE UPDATES [same]     same: the peer's batches in its order, to compare losses
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from madx.corpora.masking import Masked
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter, load_head
from madx.stages.language import masked_lm_loss
from madx.tasks import tagging
from madx.tasks.examples import Feature, evaluation_batches, pad, training_order

folder, stage, updates, same = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), "same" in sys.argv
torch.set_num_threads(2)
device = torch.device("cpu")
encoder = load_encoder(resolve_encoder(str(folder / "base")), device)
load_adapter(folder / "lang", encoder)
losses: list[float] = []
tokens = 0

if stage == "language":
    encoder.adapters.activate("lang")
    trained = [*encoder.adapters.parameters(), *encoder.lm_head.trainable()]
    blocks = np.load(folder / "blocks.npz")
    work = []
    for ids, labels in zip(blocks["ids"][:updates], blocks["labels"][:updates], strict=True):
        chosen = torch.from_numpy(labels != -100)
        work.append((Masked(torch.from_numpy(ids), chosen, torch.from_numpy(labels)[chosen]), ids.size))
else:
    encoder.adapters.get("lang").requires_grad_(False)
    load_adapter(folder / "task", encoder)
    _, head = load_head(folder / "task", encoder)
    encoder.adapters.activate("lang", "task")
    trained = [*encoder.adapters.get("task").parameters(), *head.parameters()]
    features = []
    for row in json.loads((folder / "sentences.json").read_text()):
        read = [i for i, label in enumerate(row["labels"]) if label != -100]
        target = [row["labels"][i] for i in read]
        features.append(Feature((tuple(row["ids"]),), None, target, len(features), (read,)))

if stage == "evaluation":
    encoder.model.eval()
    head.eval()
    began = time.perf_counter()
    with torch.no_grad():
        for chosen_rows in evaluation_batches(features, 8192):
            batch = pad([features[i] for i in chosen_rows], 1, device, False)
            tagging.decode(head, encoder.hidden(batch.ids_BT, batch.mask_BT), batch)
            tokens += batch.tokens
else:
    encoder.model.train()
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    order = []
    if stage == "task":
        order = [list(range(i, min(i + 32, len(features)))) for i in range(0, len(features), 32)]
        order = (order if same else training_order(features, 32, (1, 0, 0)))[:updates]
        updates = len(order)
    began = 0.0
    for step in range(updates):
        if step == 1:  # the first update allocates
            began = time.perf_counter()
        if stage == "language":
            masked, count = work[step]
            loss = masked_lm_loss(encoder, masked) / len(masked.targets_M)
        else:
            batch = pad([features[i] for i in order[step]], 1, device, False)
            hidden = encoder.hidden(batch.ids_BT, batch.mask_BT)
            loss = tagging.summed_loss(head, hidden, batch) / sum(tagging.targets(features[i]) for i in order[step])
            count = batch.tokens
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        tokens += count if began else 0
seconds = time.perf_counter() - began
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"tokens_per_s": tokens / seconds, "memory_mb": memory, "losses": losses, "seconds": seconds}))
