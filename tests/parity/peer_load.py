"""Runs in `.venv-peer`, not in ours: load what madx wrote with the real `adapters` and compute.

python peer_load.py JOB.json     {"base", "adapters": [folder, ...], "setup": folder, "ids", "out",
                                "static": ModernBERT has no class with flexible heads}
"""

import json
import sys

import adapters
import numpy as np
import torch
from adapters import AutoAdapterModel
from adapters.composition import Stack
from transformers import AutoModelForMaskedLM

with open(sys.argv[1]) as file:
    job = json.load(file)
ids = torch.tensor(job["ids"])
report = {"version": adapters.__version__}


def load_base():
    if not job["static"]:
        return AutoAdapterModel.from_pretrained(job["base"])
    model = AutoModelForMaskedLM.from_pretrained(job["base"])
    adapters.init(model)
    for layer in model.model.layers:  # `init` gives it a random bias
        layer.attn.Wqkv.bias = None
    return model


model = load_base()
names = []
for folder in job["adapters"]:
    info = {}
    names.append(model.load_adapter(folder, loading_info=info, set_active=False))
    report[folder] = {k: [str(x) for x in v] for k, v in info.items() if k.endswith("_keys")}
model.set_active_adapters(Stack(*names))
if not job["static"]:
    model.active_head = names[-1]
model.eval()
with torch.no_grad():
    stack = model(input_ids=ids).logits.numpy()

again = load_base()
again.load_adapter_setup(job["setup"], set_active=True)
if not job["static"]:
    again.active_head = names[-1]
again.eval()
with torch.no_grad():
    setup = again(input_ids=ids).logits.numpy()
# what the peer makes of our configuration, written by itself
model.save_adapter(job["out"] + ".saved", names[0])
np.savez(job["out"], stack=stack, setup=setup, report=json.dumps(report))
