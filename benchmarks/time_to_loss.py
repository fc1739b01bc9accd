"""How much sooner stage one is where the peer ends: `python benchmarks/time_to_loss.py --data DIR`.

On `mini`, languages that it has never seen. The mark is the held-out loss that training with MAD-X's own
hyper-parameters ends at (batches of 64 sequences, here of 64 tokens, 1e-4, linear decay). The peer would need half an
hour for it, so it does the first TIMED updates, whose seconds are scaled up, and madx, whose losses are the peer's step
by step (tests/parity), does them all, untimed; after TIMED updates both held-out losses stand in the table. Then madx
trains on the same blocks with the settings below, twice as many updates again and again until a finished run lies below
the mark. All are judged on the same held-out blocks with the same masks; start-up isn't timed.

Marks take minutes and are kept in .bench/; `--marks` makes them and no more, on a machine that may have other work.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.find import Catalogue
from madx.config import digest, file_digest
from madx.corpora.packing import Blocks
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import recipe_from
from madx.stages.masked_lm import MaskedLm, masked_blocks
from madx.training.fit import Run, Schedule, Validation, fit
from madx.writing import write_json

HERE = Path(__file__).parent
ROOT = HERE.parent
BLOCK, HELD_OUT = 64, 200  # tokens; blocks
SETTINGS = {"learning_rate": 1e-2, "batch_tokens": 512}
MADX_PAPER = {"learning_rate": 1e-4, "batch_tokens": 64 * BLOCK, "warm_up": 0.0}
TIMED = 20  # updates of the peer
FIRST = 16  # updates of ours


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


def train(
    folder: Path,
    code: str,
    encoder: Encoder,
    blocks: Blocks,
    held_out: Blocks,
    steps: int,
    settings: dict[str, float],
    look_at: Sequence[int] = (),
) -> dict[str, float]:
    """One whole run of `steps` updates; its seconds, its held-out loss, and that after the updates in `look_at`."""
    with encoder.lent(*encoder.lm_head.trainable()), encoder.training():
        torch.manual_seed(1)
        adapter = encoder.adapters.add(code, BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
        encoder.adapters.activate(code)
        parameters = {f"adapter.{name}": p for name, p in adapter.named_parameters()}
        parameters |= {f"lm_head.{i}": p for i, p in enumerate(encoder.lm_head.trainable())}
        for parameter in parameters.values():
            parameter.requires_grad_(True)

        text = MaskedLm(encoder, blocks, held_out)
        place = folder / "run"
        shutil.rmtree(place, ignore_errors=True)  # a run that was cut off would be gone on with
        place.mkdir()
        rates = {name: value for name, value in settings.items() if name != "batch_tokens"}
        began = time.perf_counter()
        report = fit(
            parameters, Schedule(steps=steps, **rates),
            lambda step: text.parts(step, int(settings["batch_tokens"]), 1), Run(place, 1, encoder.device),
            Validation(text.held_out_loss, look_at),
        )  # fmt: skip
        seconds = time.perf_counter() - began
        seen = {f"after_{e['step']}": e["held_out_loss"] for e in report["evaluations"]}
        return {"updates": steps, "seconds": seconds, "after": text.held_out_loss()["held_out_loss"], **seen}


def mark(folder: Path, updates: int, encoder: Encoder, trained: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The held-out loss to reach, trained once for an encoder, its text and the settings."""
    texts = [file_digest(folder / name) for name in ("train.bin", "held_out.bin")]
    file = folder / f"mark-{digest([encoder.ref.digest, *texts, MADX_PAPER, updates])}.json"
    if not file.exists():
        write_json(file, trained())
    found: dict[str, float] = json.loads(file.read_text())
    return found


def table(record: dict[str, Any]) -> str:
    lines = [
        f"## Time to the held-out loss of MAD-X's own settings, mini, {record['host']['processor']}", "",
        f"The mark: {record['updates']} updates of 64 x {BLOCK} tokens at 1e-4 (peer: {TIMED}, scaled up). "
        f"madx: {SETTINGS['batch_tokens']} tokens an update, peak {SETTINGS['learning_rate']:g}, the first run of "
        f"{FIRST}, {2 * FIRST}, {4 * FIRST} ... updates that ends below.", "",
        f"| | before | after {TIMED} updates: peer | madx | the mark | peer s | madx's loss | madx updates | madx s "
        "| times sooner |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for code, row in record["languages"].items():
        peer, goal, ours = row["peer"], row["mark"], row["madx"][-1]
        lines.append(
            f"| {code} | {peer['before']:.2f} | {peer['after']:.3f} | {goal[f'after_{TIMED}']:.3f} | "
            f"{goal['after']:.3f} | {row['peer_seconds']:.0f} | {ours['after']:.3f} | {ours['updates']} | "
            f"{ours['seconds']:.1f} | {row['peer_seconds'] / ours['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the catalogue's files")
    parser.add_argument("--languages", nargs="+", default=["gsw", "fao", "kin", "yor"])
    parser.add_argument("--updates", type=int, default=250, help="of MAD-X's own settings")
    parser.add_argument("--marks", action="store_true", help="train the marks, and nothing else")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    if options.updates < TIMED:
        parser.error(f"--updates: at least {TIMED}")
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    from machine import host
    from peer_env import make, versions
    from run import exported_mini, measure

    torch.set_num_threads(2)
    peer, machine = make(), host()
    encoder = load_encoder(resolve_encoder("mini"), torch.device("cpu"))
    record: dict[str, Any] = {
        "host": machine, "versions": versions(), "updates": options.updates, "timed": TIMED, "settings": SETTINGS,
        "languages": {},
    }  # fmt: skip
    for code in options.languages:
        folder = ROOT / ".bench" / "loss" / code
        blocks, held_out = prepare(folder, code, encoder, options.data)
        run = partial(train, folder, code, encoder, blocks, held_out)
        goal = mark(folder, options.updates, encoder, lambda run=run: run(options.updates, MADX_PAPER, [TIMED]))
        if options.marks:
            continue
        theirs = measure(peer, "peer_loss.py", str(folder), str(options.updates), str(TIMED), str(exported_mini()))
        ours, steps = [], FIRST
        while not ours or (ours[-1]["after"] > goal["after"] and steps <= 4096):
            ours.append(run(steps, SETTINGS))
            steps *= 2
        row = {"peer": theirs, "peer_seconds": theirs["seconds"] * options.updates / TIMED, "mark": goal, "madx": ours}
        record["languages"][code] = row
        print(f"{code}: {goal['after']:.3f}, the peer in {row['peer_seconds']:.0f} s; madx {ours[-1]['after']:.3f} in "
              f"{ours[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    if options.marks:
        return
    sooner = [row["peer_seconds"] / row["madx"][-1]["seconds"] for row in record["languages"].values()]
    record["times_sooner"] = {"median": statistics.median(sooner), "least": min(sooner), "greatest": max(sooner)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "time-to-loss.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "time-to-loss.md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
