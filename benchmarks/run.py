"""Speed and memory, side by side with the real peer: `make bench`.

    python benchmarks/run.py [--shape xlmr-base] [--updates 20] [--sentences 640] [--repeats 2] [--stages task]

Both sides run on the same work (workload.py), each stage in a process of its own, interleaved: peer, madx, peer, madx.
Real tokens per second (padding isn't counted), the process's peak memory, the losses step by step.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
STAGES = ("language", "task", "evaluation")


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest of our value over theirs, run by run."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(each), min(each), max(each)


def language_flops(shape: dict[str, int], block: int, reduction: float, masked: float) -> float:
    """Floating-point operations that one real token of stage one needs.

    Frozen weights: forward, and backward to the inputs (2 + 2 per weight); adapters: the weights' gradients too
    (2 + 4). Attention scores and values: 4 * block * width forward, twice that backward. Logits at the masked
    positions only, to the whole vocabulary.
    """
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    frozen = layers * (4 * width**2 + 2 * width * shape["intermediate_size"])
    adapters = layers * 2 * width * width / reduction + 2 * 2 * (width / 2) * (width / 4)
    attention = layers * 4 * block * width * 3
    head = masked * (4 * width * shape["vocab_size"] + 6 * width**2)
    return 4 * frozen + 6 * adapters + attention + head


def gemm_rate(seconds: float = 3.0) -> float:
    """FLOP/s of this machine's fp32 matrix multiplication at the encoder's own size, on two threads."""
    import torch

    torch.set_num_threads(2)
    a, b = torch.randn(512, 768), torch.randn(768, 3072)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        a @ b
        count += 1
    return count * 2 * 512 * 768 * 3072 / (time.perf_counter() - began)


def measure(python: Path | str, script: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(python), str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"error: {script} {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()


def table(record: dict[str, Any]) -> str:
    lines = [
        f"## {record['shape']}, {record['host']['processor']}, {record['host']['cores']} cores", "",
        f"{record['updates']} updates, {record['sentences']} sentences, {record['repeats']} interleaved runs of each; "
        f"load before the run {record['host']['load']:.1f}; GEMM {record['gemm_gflops']:.0f} GFLOP/s.", "",
        "| stage | peer tokens/s | madx tokens/s | ratio (least to greatest) | peer MB | madx MB | memory ratio |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for stage, row in record["stages"].items():
        median, least, greatest = row["speed_ratio"]
        lines.append(
            f"| {stage} | {row['peer']['tokens_per_s']:.0f} | {row['madx']['tokens_per_s']:.0f} | {median:.2f} "
            f"({least:.2f} to {greatest:.2f}) | {row['peer']['memory_mb']:.0f} | {row['madx']['memory_mb']:.0f} "
            f"| {row['memory_ratio']:.2f} |"
        )
    if cut := record.get("corpus_softmax"):
        median, least, greatest = cut["speed_ratio"]
        lines.append(
            f'| language, `softmax = "corpus"` | | {cut["tokens_per_s"]:.0f} | {median:.2f} ({least:.2f} to '
            f"{greatest:.2f}) | | {cut['memory_mb']:.0f} | {cut['memory_ratio']:.2f} |"
        )
        lines += ["", f"Mean training loss with the full softmax {cut['loss']['full']:.2f}, over the text's tokens "
                  f"{cut['loss']['corpus']:.2f} (random weights: the logarithm of their number)."]  # fmt: skip
    lines += ["", f"Losses: greatest difference over the steps {record['loss_difference']}.",
              f"Stage one runs at {record['gemm_share']:.2f} of the machine's GEMM rate.", ""]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="xlmr-base", choices=("xlmr-base", "small"))
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--sentences", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES, help="the others keep their figures")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed")
    options = parser.parse_args()
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "parity")]
    if options.sentences < 32 * options.updates:
        raise SystemExit(f"error: --sentences: {options.updates} updates of 32 need {32 * options.updates}")
    import workload
    from peer_env import make

    peer = make()
    load = os.getloadavg()[0]
    folder = workload.make(options.work, options.shape, max(20, options.updates), options.sentences)
    record: dict[str, Any] = {
        "shape": options.shape, "updates": options.updates, "sentences": options.sentences, "repeats": options.repeats,
        "host": {"processor": processor(), "cores": os.cpu_count(), "load": load, "machine": platform.machine()},
        "versions": {"madx": {name: version(name) for name in ("torch", "transformers")},
                     "peer": {"adapters": "1.3.0", "transformers": "4.57.6"}},
        "gemm_gflops": gemm_rate() / 1e9, "stages": {}, "loss_difference": {},
    }  # fmt: skip
    kept = options.out / f"{options.shape}.json"
    if set(options.stages) != set(STAGES) and kept.exists():
        before = json.loads(kept.read_text())
        record |= {key: before[key] for key in ("stages", "loss_difference", "corpus_softmax") if key in before}
    for stage in options.stages:
        runs: dict[str, list[dict[str, Any]]] = {"peer": [], "madx": []}
        for number in range(options.repeats):
            for side, python, script in (("peer", peer, "peer.py"), ("madx", sys.executable, "ours.py")):
                runs[side].append(measure(python, script, str(folder), stage, str(options.updates)))
                speed = runs[side][-1]["tokens_per_s"]
                print(
                    f"{stage} {number + 1}/{options.repeats} {side}: {speed:.0f} tokens/s", file=sys.stderr, flush=True
                )
        speeds = {side: [r["tokens_per_s"] for r in rows] for side, rows in runs.items()}
        memory = {side: max(r["memory_mb"] for r in rows) for side, rows in runs.items()}
        record["stages"][stage] = {
            **{s: {"tokens_per_s": statistics.median(speeds[s]), "memory_mb": memory[s]} for s in runs},
            "speed_ratio": ratios(speeds["madx"], speeds["peer"]),
            "memory_ratio": memory["madx"] / memory["peer"],
        }
        if stage == "language":
            cut = [measure(sys.executable, "ours.py", str(folder), stage, str(options.updates), "corpus")
                   for _ in range(options.repeats)]  # fmt: skip
            record["corpus_softmax"] = {
                "tokens_per_s": statistics.median(r["tokens_per_s"] for r in cut),
                "memory_mb": max(r["memory_mb"] for r in cut),
                "speed_ratio": ratios([r["tokens_per_s"] for r in cut], speeds["peer"]),
                "memory_ratio": max(r["memory_mb"] for r in cut) / memory["peer"],
                "loss": {
                    "full": statistics.mean(runs["madx"][0]["losses"]),
                    "corpus": statistics.mean(cut[0]["losses"]),
                },
            }
        if stage != "evaluation":
            same = measure(sys.executable, "ours.py", str(folder), stage, str(options.updates), "same")
            pairs = zip(same["losses"], runs["peer"][0]["losses"], strict=True)
            record["loss_difference"][stage] = max(abs(a - b) for a, b in pairs)
    flops = language_flops(workload.SHAPES[options.shape], workload.BLOCK, 2.0, 0.15)
    rate = record["stages"]["language"]["madx"]["tokens_per_s"] * flops
    record["gemm_share"] = rate / (record["gemm_gflops"] * 1e9)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{options.shape}.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / f"{options.shape}.md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
