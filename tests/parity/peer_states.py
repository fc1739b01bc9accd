"""Runs in `.venv-peer`, not in ours: what the real `adapters` computes with each of many adapters.

python peer_states.py JOB.json     {"base", "adapters": {name: folder}, "ids", "out"}
"""

import json
import sys

import numpy as np
import torch
from adapters import AutoAdapterModel

with open(sys.argv[1]) as file:
    job = json.load(file)
model = AutoAdapterModel.from_pretrained(job["base"]).eval()
states = {}
for name, folder in job["adapters"].items():
    info = {}
    model.load_adapter(folder, load_as=name, loading_info=info, with_head=False, use_safetensors=True)
    assert not info["missing_keys"] + info["unexpected_keys"], (folder, info)
    model.set_active_adapters(name)
    with torch.no_grad():
        states[name] = model.base_model(input_ids=torch.tensor(job["ids"])).last_hidden_state.numpy()
np.savez(job["out"], **states)
