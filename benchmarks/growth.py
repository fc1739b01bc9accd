"""What grows with the text, and how long a run takes to start: `python benchmarks/growth.py [--megabytes 2000]`.

Text of made-up words, 10 MB and `--megabytes`: packed (seconds a megabyte, peak memory), and trained on, on `mini`
(seconds a step, peak memory). Then `madx run` of the quick start with its text packed, until it enters the first step:
on `mini`, and on an encoder of XLM-R-base's shape.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
BLOCK, STEPS, WORDS = 128, 40, 20_000

START = """
import sys, time
began = float(sys.argv.pop())
import madx.stages.language as stage
def entered(*_, **__):
    print("started after", time.time() - began)
    raise SystemExit(0)
stage.fit = entered
from madx.cli import main
main()
"""


def write_text(path: Path, megabytes: int) -> None:
    """Sentences of twelve words, whose frequencies fall as words' do (Zipf)."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnoprstuvåäö"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(WORDS)], dtype=object)
    chances = 1 / np.arange(1, WORDS + 1)
    chances /= chances.sum()
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            rows = words[rng.choice(WORDS, (20_000, 12), p=chances)]
            file.write("\n".join(" ".join(row) for row in rows) + "\n")


def pack(folder: Path, text: Path) -> dict[str, float]:
    from memory import peak_memory_mb
    from transformers import AutoTokenizer

    from madx.catalog.language import TextSource
    from madx.corpora.prepare import Corpus
    from madx.encoders.reference import BUNDLED

    corpus = Corpus(
        language="swe", has_spaces=True, sources=(TextSource(file=str(text)),), digests=("made up",), tokenizer="mini",
        block_size=BLOCK, max_tokens=1 << 40,
    )  # fmt: skip
    began = time.perf_counter()
    report = corpus.prepare(folder, AutoTokenizer.from_pretrained(BUNDLED), None)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "tokens": report["tokens"], "memory_mb": peak_memory_mb()}


def train(folder: Path) -> dict[str, float]:
    import torch
    from memory import peak_memory_mb

    from madx.adapters.spec import BottleneckSpec, InvertibleSpec
    from madx.corpora.packing import Blocks
    from madx.encoders.encoder import load_encoder
    from madx.encoders.reference import resolve_encoder
    from madx.stages.masked_lm import MaskedLm
    from madx.training.fit import Part, Run, Schedule, fit

    torch.set_num_threads(2)
    encoder = load_encoder(resolve_encoder("mini"), torch.device("cpu"))
    adapter = encoder.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    encoder.adapters.activate("swe")
    blocks = Blocks(folder / "train.bin", BLOCK)
    moments: list[float] = []

    text = MaskedLm(encoder, blocks, blocks)

    def timed(part: Part) -> Part:
        def loss() -> torch.Tensor:
            moments.append(time.perf_counter())
            return part.loss()

        return part._replace(loss=loss)

    fit(
        dict(adapter.named_parameters()), Schedule(steps=STEPS, learning_rate=1e-3),
        lambda step: [timed(part) for part in text.parts(step, 16 * BLOCK, 1)], Run(folder, 1, encoder.device),
    )  # fmt: skip
    steps = [b - a for a, b in zip(moments[5:], moments[6:], strict=False)]
    return {"blocks": len(blocks), "seconds_a_step": statistics.median(steps), "memory_mb": peak_memory_mb()}


def child(what: str, *arguments: Path) -> dict[str, float]:
    """In a process of its own, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, __file__, what, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {what}: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def start_up(folder: Path, model: str) -> float:
    """Seconds from `madx run` to the first step; the text of all languages is packed by a run that ends there."""
    for _ in range(2):
        command = [sys.executable, "-c", START, "run", "--results", str(folder), "--set", f"model={model}"]
        done = subprocess.run([*command, str(time.time())], capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout.split("started after")[1].split()[0])


def main() -> None:
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    if len(sys.argv) > 2 and sys.argv[1] in ("pack", "train"):
        print(json.dumps({"pack": pack, "train": train}[sys.argv[1]](*map(Path, sys.argv[2:]))))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    from machine import host
    from peer_env import versions
    from workload import base

    record: dict[str, Any] = {"host": host(), "versions": versions()["madx"], "text": {}}
    lines = [f"## What grows with the text, mini, {record['host']['processor']}", "",
             "| text | packing, MB/s | its peak MB | blocks | training, ms a step | its peak MB |",
             "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        for megabytes in (10, options.megabytes):
            folder = Path(scratch) / str(megabytes)
            folder.mkdir()
            write_text(folder / "a.txt", megabytes)
            packed, trained = child("pack", folder, folder / "a.txt"), child("train", folder)
            record["text"][megabytes] = {"packing": packed, "training": trained}
            lines.append(
                f"| {megabytes} MB | {megabytes / packed['seconds']:.2f} | {packed['memory_mb']:.0f} | "
                f"{trained['blocks']} | {1000 * trained['seconds_a_step']:.0f} | {trained['memory_mb']:.0f} |"
            )
            (folder / "a.txt").unlink()
        base(Path(scratch) / "base")
        started = {
            "mini": start_up(Path(scratch) / "results", "mini"),
            "XLM-R-base's shape": start_up(Path(scratch) / "results-base", str(Path(scratch) / "base")),
        }
        record["start_up_seconds"] = started
    times = ", ".join(f"{seconds:.1f} s on {name}" for name, seconds in started.items())
    lines += ["", f"`madx run` (quick start, text packed) enters its first step after {times}."]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "growth.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "growth.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
