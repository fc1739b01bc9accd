"""Our side: the functions that the stages run, on the same work.

python ours.py WORKLOAD STAGE UPDATES [same] [corpus]     same: the peer's batches in its order, to compare losses
                                                          corpus: stage one's softmax over the text's tokens
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import workload
from memory import peak_memory_mb

from madx.corpora.masking import Masked
from madx.corpora.packing import Blocks
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter
from madx.formats.heads import load_head
from madx.stages.language import CorpusVocabulary, masked_lm_loss, parts_of
from madx.tasks import tagging
from madx.tasks.examples import Feature, padded_parts, training_order

folder, stage, updates, same = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), "same" in sys.argv
torch.set_num_threads(2)
device = torch.device("cpu")
encoder = load_encoder(resolve_encoder(str(folder / "base")), device)
load_adapter(folder / "lang", encoder)
losses: list[float] = []
tokens = 0

if stage == "language":
    encoder.adapters.activate("lang")
    corpus = Blocks(folder / "corpus.bin", workload.BLOCK)
    vocabulary = CorpusVocabulary.of(corpus, encoder) if "corpus" in sys.argv else None
    trained = [*encoder.adapters.parameters(), *encoder.lm_head.trainable()]
    blocks = np.load(folder / "blocks.npz")
    work = []
    for ids, labels in zip(blocks["ids"][:updates], blocks["labels"][:updates], strict=True):
        chosen = torch.from_numpy(labels != -100)
        work.append(Masked(torch.from_numpy(ids), chosen, torch.from_numpy(labels)[chosen]))
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
        for _, batch in padded_parts(features, encoder.micro_tokens, 1, device, False):
            tagging.decode(head, encoder.hidden(batch.ids_BT, batch.mask_BT, read=tagging.read_positions(batch)), batch)
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
        total, count = 0.0, 0
        if stage == "language":
            for micro in parts_of(work[step], encoder.micro_tokens):
                loss = masked_lm_loss(encoder, micro.inputs, vocabulary) / len(work[step].targets_M)
                loss.backward()
                total, count = total + loss.item(), count + micro.tokens
        else:
            chosen_features = [features[i] for i in order[step]]
            targets = sum(map(tagging.targets, chosen_features))
            for _, batch in padded_parts(chosen_features, encoder.micro_tokens, 1, device, False):
                states = encoder.hidden(batch.ids_BT, batch.mask_BT, read=tagging.read_positions(batch))
                loss = tagging.summed_loss(head, states, batch) / targets
                loss.backward()
                total, count = total + loss.item(), count + batch.tokens
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
        tokens += count if began else 0
seconds = time.perf_counter() - began
memory = peak_memory_mb()
print(json.dumps({"tokens_per_s": tokens / seconds, "memory_mb": memory, "losses": losses, "seconds": seconds}))
