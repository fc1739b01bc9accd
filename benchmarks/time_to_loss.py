"""How much sooner stage one is where the peer ends: `python benchmarks/time_to_loss.py --data DIR`.

On `mini`, four languages that it has never seen. The peer trains with MAD-X's own hyper-parameters (batches of 64
sequences, 1e-4, linear decay; here of 64 tokens, 500 updates, about 7 epochs); its final held-out loss is the mark.
madx trains on the same blocks, with the settings below and twice as many updates again and again until a finished run
lies below the mark. Both are judged on the same held-out blocks with the same masks, both timed without start-up.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.find import Catalogue
from madx.corpora.packing import Blocks
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import recipe_from
from madx.stages.masked_lm import MaskedLm, masked_blocks
from madx.training.fit import Run, Schedule, fit

HERE = Path(__file__).parent
ROOT = HERE.parent
BLOCK, HELD_OUT = 64, 200  # tokens; blocks
SETTINGS = {"learning_rate": 1e-2, "batch_tokens": 512}
FIRST = 16  # updates


def prepare(folder: Path, code: str, encoder: Encoder, data: Path) -> tuple[Blocks, Blocks]:
    """The language's packed text, and for the peer the same blocks and the masked held-out ones."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipe_from(
        {"name": "x", "tasks": ["pos"], "targets": [code], "language_adapter": {"max_length": BLOCK, "steps": 1000}},
        "time_to_loss.py", [],
    )  # fmt: skip
    Planner(recipe, Catalogue(), data).text(code).corpus.prepare(folder, encoder.tokenizer, data)
    train, held_out = Blocks(folder / "train.bin", BLOCK), Blocks(folder / "held_out.bin", BLOCK)
    with open(folder / "held_out.bin", "r+b") as file:
        file.truncate(4 * BLOCK * min(HELD_OUT, len(held_out)))
    held_out = Blocks(folder / "held_out.bin", BLOCK)
    np.save(folder / "train.npy", np.concatenate(list(train.in_order(1000))))
    size = max(1, encoder.many_tokens // BLOCK)
    masked = [masked_blocks(encoder, rows, n * size) for n, rows in enumerate(held_out.in_order(size))]
    labels = [torch.full_like(m.ids_BT, -100).masked_scatter(m.chosen_BT, m.targets_M) for m in masked]
    np.savez(
        folder / "held_out.npz", ids=torch.cat([m.ids_BT for m in masked]), labels=torch.cat(labels),
        sizes=[len(m.ids_BT) for m in masked],
    )  # fmt: skip
    return train, held_out


def train(folder: Path, code: str, encoder: Encoder, blocks: Blocks, held_out: Blocks, steps: int) -> dict[str, float]:
    """One whole run of `steps` updates; its seconds and its held-out loss."""
    with encoder.lent(*encoder.lm_head.trainable()), encoder.training():
        torch.manual_seed(1)
        adapter = encoder.adapters.add(code, BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
        encoder.adapters.activate(code)
        parameters = {f"adapter.{name}": p for name, p in adapter.named_parameters()}
        parameters |= {f"lm_head.{i}": p for i, p in enumerate(encoder.lm_head.trainable())}
        for parameter in parameters.values():
            parameter.requires_grad_(True)

        text = MaskedLm(encoder, blocks, held_out)
        began = time.perf_counter()
        fit(
            parameters, Schedule(steps=steps, learning_rate=SETTINGS["learning_rate"]),
            lambda step: text.parts(step, int(SETTINGS["batch_tokens"]), 1), Run(folder, 1, encoder.device),
        )  # fmt: skip
        seconds = time.perf_counter() - began
        return {"updates": steps, "seconds": seconds, "after": text.held_out_loss()["held_out_loss"]}


def table(record: dict[str, Any]) -> str:
    lines = [
        f"## Time to the peer's held-out loss, mini, {record['host']['processor']}", "",
        f"The peer: {record['peer_updates']} updates of 64 x {BLOCK} tokens at 1e-4. madx: "
        f"{SETTINGS['batch_tokens']} tokens an update, peak {SETTINGS['learning_rate']:g}, the first run of "
        f"{FIRST}, {2 * FIRST}, {4 * FIRST} ... updates that ends below.", "",
        "| | before | peer's loss | peer s | madx's loss | madx updates | madx s | times sooner |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for code, row in record["languages"].items():
        peer, ours = row["peer"], row["madx"][-1]
        lines.append(
            f"| {code} | {peer['before']:.2f} | {peer['after']:.3f} | {peer['seconds']:.0f} | {ours['after']:.3f} | "
            f"{ours['updates']} | {ours['seconds']:.1f} | {peer['seconds'] / ours['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the catalogue's files")
    parser.add_argument("--languages", nargs="+", default=["gsw", "fao", "kin", "yor"])
    parser.add_argument("--updates", type=int, default=500, help="the peer's")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    from machine import host
    from peer_env import make, versions
    from run import exported_mini, measure

    torch.set_num_threads(2)
    peer, machine = make(), host()
    encoder = load_encoder(resolve_encoder("mini"), torch.device("cpu"))
    record: dict[str, Any] = {
        "host": machine, "versions": versions(), "peer_updates": options.updates, "settings": SETTINGS, "languages": {},
    }  # fmt: skip
    for code in options.languages:
        folder = ROOT / ".bench" / "loss" / code
        shutil.rmtree(folder, ignore_errors=True)
        blocks, held_out = prepare(folder, code, encoder, options.data)
        theirs = measure(peer, "peer_loss.py", str(folder), str(options.updates), str(exported_mini()))
        ours, steps = [], FIRST
        while not ours or (ours[-1]["after"] > theirs["after"] and steps <= 4096):
            ours.append(train(folder, code, encoder, blocks, held_out, steps))
            steps *= 2
        record["languages"][code] = {"peer": theirs, "madx": ours}
        print(f"{code}: peer {theirs['after']:.3f} in {theirs['seconds']:.0f} s; madx {ours[-1]['after']:.3f} in "
              f"{ours[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    sooner = [row["peer"]["seconds"] / row["madx"][-1]["seconds"] for row in record["languages"].values()]
    record["times_sooner"] = {"median": statistics.median(sooner), "least": min(sooner), "greatest": max(sooner)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "time-to-loss.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "time-to-loss.md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
