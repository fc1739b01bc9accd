"""What madx writes is loaded by the real `adapters` 1.3.0, in an environment of its own, and gives the same numbers.

`make peer` makes the environment; without it these are skipped, loudly.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_env import PYTHON, READY
from safetensors.torch import load_file
from tiny_project import write_project

import madx
from madx.adapters.heads import Head, HeadSpec
from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.fusion import save_setup
from madx.formats.heads import save_head, save_lm_head

pytestmark = pytest.mark.skipif(
    not READY.exists(), reason="LOUD: no .venv-peer; `make peer` makes it. The peer is not asked"
)
IDS = [[2, 40, 50, 60, 70, 80], [2, 99, 98, 97, 96, 95]]
SPECS = {
    "lang": BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec(), leave_out=(1,)),
    "task": BottleneckSpec(
        reduction_factor=4.0, placement=("attention", "ffn"), non_linearity="gelu", scaling="learned"
    ),
}


@pytest.mark.parametrize("model_type", ["xlm-roberta", "bert", "distilbert", "deberta-v2", "modernbert"])
def test_the_peer_computes_the_same(model_type: str, encoder_folder, tmp_path: Path) -> None:
    encoder = load_encoder(resolve_encoder(str(encoder_folder(model_type))), torch.device("cpu"))
    static = model_type == "modernbert"
    for name, spec in SPECS.items():
        # ModernBERT's attention adapters read the wrong norm in the peer
        encoder.adapters.add(name, spec.model_copy(update={"placement": ("ffn",)}) if static else spec)
    for parameter in encoder.adapters.parameters():
        parameter.data.normal_(std=0.2)
    head = Head(HeadSpec(head_type="tagging", num_labels=4, labels=("A", "B", "C", "D")), encoder.width).eval()
    for name in SPECS:
        save_adapter(tmp_path / name, encoder, name, pickle=True)
    if static:
        save_lm_head(tmp_path / "task", encoder, "task", pickle=True)
    else:
        save_head(tmp_path / "task", encoder, head, "task", pickle=True)
    save_setup(tmp_path / "setup", encoder, Stack("lang", "task"), {} if static else {"task": head})
    job = {
        "base": str(encoder_folder(model_type)), "adapters": [str(tmp_path / name) for name in SPECS],
        "setup": str(tmp_path / "setup"), "ids": IDS, "out": str(tmp_path / "out.npz"), "static": static,
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("peer_load.py")
    done = subprocess.run([PYTHON, script, tmp_path / "job.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load(tmp_path / "out.npz")
    report = json.loads(str(theirs["report"]))
    assert report["version"] == "1.3.0"
    for folder in job["adapters"]:
        assert report[folder]["missing_keys"] == [], folder
        assert report[folder]["unexpected_keys"] == [], folder
    encoder.adapters.activate("lang", "task")
    with torch.no_grad():
        states = encoder.hidden(torch.tensor(IDS))
        ours = (encoder.masked_lm_logits(states) if static else head.logits(states)).numpy()
    assert np.abs(ours - theirs["stack"]).max() < 1e-5
    assert np.abs(ours - theirs["setup"]).max() < 1e-5
    assert np.abs(ours).max() > 0.01

    # the peer's own copy of it: an equal configuration, equal tensors, and madx reads it back bit for bit
    saved = Path(job["out"] + ".saved")
    mine, its = (json.loads((f / "adapter_config.json").read_text()) for f in (tmp_path / "lang", saved))
    assert mine["config"] == its["config"]
    tensors = load_file(tmp_path / "lang" / "adapter.safetensors")
    pickled = torch.load(saved / "pytorch_adapter.bin", weights_only=True)
    assert tensors.keys() == pickled.keys()
    assert all(torch.equal(tensors[key], pickled[key]) for key in tensors)
    wanted = {key: value.clone() for key, value in encoder.adapters.get("lang").state_dict().items()}
    _, adapter = load_adapter(saved, encoder)
    assert all(torch.equal(value, wanted[key]) for key, value in adapter.state_dict().items())


def test_what_every_way_to_a_language_adapter_leaves_is_the_peers(
    tmp_path: Path, encoder_folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generated, merged, federated, taught, warm-started, in trees: ordinary adapters, as the store holds them."""
    monkeypatch.chdir(tmp_path)
    base = encoder_folder("bert")
    write_project(tmp_path, base)
    ways = [
        "madx", "madx-2", "bad-x", "madx-kl", "madx-federated", "distilled-language", "madx-from-family",
        "madx-from-generated", "hierarchical", "generated", "hyper-x", "arithmetic", "merge-mean", "merge-source",
    ]  # fmt: skip
    settings = [f"methods={json.dumps(ways)}", "seeds=[1]", "language_adapter.steps=3", "task_adapter.epochs=1"]
    madx.run("recipe.toml", overrides=[*settings, "federated={ silos = 2, rounds = 2 }"], device="cpu")
    store = Path("results", ".store")
    folders = {path.parent.name: path.parent.resolve() for path in sorted(store.rglob("adapter_config.json"))}
    stages = {name.partition("-")[0] for name in folders}
    assert stages == {"language", "federated", "generated", "hyper", "node", "arithmetic", "merged", "task"}
    job = {"base": str(base), "adapters": {name: str(folder) for name, folder in folders.items()}, "ids": IDS,
           "out": str(tmp_path / "out.npz")}  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("peer_states.py")
    done = subprocess.run([PYTHON, script, tmp_path / "job.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    encoder = load_encoder(resolve_encoder(str(base)), torch.device("cpu"))
    theirs = np.load(job["out"])
    for name, folder in folders.items():
        load_adapter(folder, encoder, load_as=name)
        encoder.adapters.activate(name)
        with torch.no_grad():
            ours = encoder.hidden(torch.tensor(IDS)).numpy()
        assert np.abs(ours - theirs[name]).max() < 1e-5, name
